"""Going on with a run that ended early, where it was."""

import contextlib

import keras

from keras_asit import checkpoints, processes
from keras_asit.callbacks.checkpoint import Checkpoint
from keras_asit.callbacks.ema_teacher import EMATeacher
from keras_asit.callbacks.progress import Progress

_BEGINNING = {"step": 0, "epoch": 0, "batches": 0, "data": None}
_BEGINNING |= {"steps_per_epoch": None, "repeated": 0}


@contextlib.contextmanager
def resumed(model, directory, dataset, callbacks, arguments):
    """A block for `fit`, which goes on where the newest checkpoint was.

    However it ends, the callbacks have written what they began to write, and SIGTERM
    is given back.

    Args:
        model: A compiled model.
        directory: Folder of a `Checkpoint`; None, one that is empty or one that does
            not exist begin at the beginning.
        dataset: What is trained on.
        callbacks: List of callbacks; one is added where an epoch was under way.
        arguments: Dict of the other arguments of `fit`, whose `initial_epoch` is set.

    Raises:
        ValueError: where the checkpoint is of another model, optimiser or dataset, or
            none of several can be read.
        OSError: where the newest cannot be read.
    """
    try:
        place = _restore(model, directory, dataset, arguments)
        _tell(place, dataset, callbacks)
        yield
    finally:
        for callback in reversed(callbacks):
            if isinstance(callback, Checkpoint):
                callback.close()


def _restore(model, directory, dataset, arguments):
    """Brings model and dataset to the newest checkpoint; returns its meta data."""
    found = None if directory is None else _found_by_all(directory, model)
    if not found:
        return _BEGINNING
    path, place, values = found
    place = {**_BEGINNING, **place}
    checkpoints.check(model, place, values, path)
    arguments["initial_epoch"] = place["epoch"]
    if place["data"] and hasattr(dataset, "restore"):
        dataset.restore(place["data"])
    checkpoints.assign(checkpoints.variables_of(model), values)
    if arguments.get("verbose", "auto") != 0 and processes.index(model) == 0:
        print(
            f"Resuming from {path}: {place['step']} steps are done, "
            f"{place['epoch']} epochs and {place['batches']} batches."
            f"{_note(place, dataset)}"
        )
    return place


def _found_by_all(directory, model):
    """The newest checkpoint; all processes must begin with the same weights."""
    try:
        found = checkpoints.read_newest(directory)
    except Exception:
        processes.all_of(-1, model)  # the others wait for it
        raise
    step = found[1]["step"] if found else 0
    steps = processes.all_of(step, model)
    if len(set(steps)) > 1:
        raise ValueError(
            f"Expected the same newest checkpoint in {directory} for all processes. "
            f"Received: those of the steps {steps}, 0 for none, -1 for one that cannot "
            "be read. Name a folder that they share"
        )
    if found and processes.index(model) == 0:  # nobody reads any longer
        checkpoints.set_aside(directory, step)
    return found


def _note(place, dataset):
    passes = getattr(dataset, "passes", None)
    is_exact = place["data"] and passes and passes.all_are_full
    if not place["batches"] or (is_exact and place["steps_per_epoch"]):
        return ""
    return " The dataset has no position within an epoch: it begins with a whole one."


def _tell(place, dataset, callbacks):
    """Lets callbacks know how much was done before."""
    before, repeated = place["batches"], place["repeated"]
    if before and not place["steps_per_epoch"]:  # where it ends is not known
        before, repeated = 0, repeated + before
    for callback in callbacks:
        if isinstance(callback, Checkpoint):
            callback.begin(dataset, Progress(place["step"], before, repeated))
        if isinstance(callback, EMATeacher):
            callback.is_resumed = place["step"] > 0
            callback.batches_before, callback.batches_repeated = before, repeated
    if before:
        callbacks.append(_RestOfEpoch(before, place["steps_per_epoch"]))


class _RestOfEpoch(keras.callbacks.Callback):
    """Ends a run whose epochs were begun by an earlier one with its last step.

    Args:
        batches_before: Batches of the first epoch that the earlier run did.
        steps_per_epoch: Of how many.

    Raises:
        ValueError: when training begins, where this run cannot end with that step.
    """

    def __init__(self, batches_before, steps_per_epoch):
        super().__init__()
        self.batches_before, self.steps_per_epoch = batches_before, steps_per_epoch

    def on_train_begin(self, logs=None):
        steps, left = self.params["steps"], self.steps_per_epoch - self.batches_before
        if steps != self.steps_per_epoch:
            raise ValueError(
                f"Expected epochs of {self.steps_per_epoch} steps, as the run had that "
                f"ended after {self.batches_before} of them. Received: {steps} steps. "
                "Fit with the same data, batch size and steps_per_epoch"
            )
        at_once = self.model.steps_per_execution
        if left % at_once:
            raise ValueError(
                f"Expected steps_per_execution to divide the {left} steps that are "
                f"left of the epoch. Received: {at_once}. Compile with 1"
            )

    def on_epoch_begin(self, epoch, logs=None):
        self.is_last = epoch + 1 == self.params["epochs"]

    def on_train_batch_end(self, batch, logs=None):
        done = batch + 1 + self.batches_before
        if self.is_last and done >= self.steps_per_epoch:
            self.model.stop_training = True
