"""Keras' progress bar with what can be read at a glance."""

import math
import sys

import keras

from keras_asit.callbacks.doctor import PREFIX


class ProgressBar(keras.callbacks.ProgbarLogger):
    """Shows the loss, its parts and the latest probe, without the doctor's numbers.

    `ASiTPretrainer.fit` uses one where Keras would use its `ProgbarLogger`: that shows
    all that is in the logs, and with twenty numbers of the `Doctor` an epoch fills the
    screen. Those stay in `history`, in a `CSVLogger` and in `TensorBoard`.

    Args:
        verbose: 1 for a bar, 2 for a line an epoch; `"auto"` for a bar on a screen or
            in a notebook, and lines in a file.

    Raises:
        ValueError: For another `verbose`.

    Example:

    >>> bar = ProgressBar(verbose=2)
    >>> history = pretrainer.fit(views, epochs=1, callbacks=[bar])  # doctest: +ELLIPSIS
    1/1 - ...s - ...loss: ...
    """

    def __init__(self, verbose="auto"):
        super().__init__()
        if verbose not in (1, 2, "auto"):
            raise ValueError(
                f'verbose is 1, 2 or "auto"; received {verbose!r}. For silence give '
                "fit(..., verbose=0) and no ProgressBar."
            )
        self.chosen = verbose
        if verbose == "auto":
            self.chosen = 1 if _is_seen_at_once() else 2

    def set_params(self, params):
        # What Keras makes of "auto" is a bar also in a file.
        super().set_params({**params, "verbose": self.chosen})

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, shown(logs))

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, shown(logs))


def shown(logs):
    """The part of the logs that the bar shows, losses first.

    Left out are the doctor's numbers, and of others with a prefix, as `probe/...`,
    those that were not measured in this epoch, which are NaN.
    """
    logs = logs or {}
    left = {
        name: value
        for name, value in logs.items()
        if not name.startswith(PREFIX) and ("/" not in name or not math.isnan(value))
    }
    return dict(sorted(left.items(), key=lambda item: _place(item[0])))


def _place(name):
    """`loss`, its parts, their `val_...`, what has a prefix."""
    return ("/" in name, name.startswith("val_"), name.removeprefix("val_") != "loss")


def _is_seen_at_once():
    is_screen = hasattr(sys.stdout, "isatty") and sys.stdout.isatty()
    return is_screen or "ipykernel" in sys.modules
