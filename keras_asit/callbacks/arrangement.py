"""Which callbacks a pretraining has, and in what order."""

import keras

from keras_asit.callbacks.doctor import Doctor
from keras_asit.callbacks.ema_teacher import EMATeacher
from keras_asit.callbacks.progress_bar import ProgressBar


def arranged(callbacks, verbose="auto"):
    """The callbacks of a pretraining: with the default ones, in an order that works.

    Who adds to the logs of an epoch (an attribute `adds_to_logs`) comes first, then the
    bar, then all others in their order: a `CSVLogger` that is named before a `Probe`
    would else not see its numbers, and lines that others print would fall into an open
    bar.

    Args:
        callbacks: Of the user: None, one, or several.
        verbose: As for `keras.Model.fit`.

    Returns:
        A list with an `EMATeacher`, a `Doctor` and, unless `verbose` is 0, a
        `ProgressBar` where there was none. Keras then adds no bar of its own.

    Example:

    >>> callbacks = arranged([keras.callbacks.CSVLogger("log.csv")], verbose=2)
    >>> [type(callback).__name__ for callback in callbacks]
    ['Doctor', 'ProgressBar', 'CSVLogger', 'EMATeacher']
    """
    callbacks = [] if callbacks is None else list(keras.tree.flatten(callbacks))
    for default in (EMATeacher, Doctor):
        if not any(isinstance(callback, default) for callback in callbacks):
            callbacks.append(default())
    if verbose and not any(_is_bar(callback) for callback in callbacks):
        callbacks.append(ProgressBar(verbose))
    return sorted(callbacks, key=_place)


def _place(callback):
    if getattr(callback, "adds_to_logs", False):
        return 0
    return 1 if _is_bar(callback) else 2


def _is_bar(callback):
    return isinstance(callback, keras.callbacks.ProgbarLogger)
