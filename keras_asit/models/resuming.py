"""Going on with a run that ended early, where it was."""

import keras

from keras_asit import checkpoints
from keras_asit.callbacks.checkpoint import Checkpoint
from keras_asit.callbacks.ema_teacher import EMATeacher


def resume(model, directory, dataset, callbacks, arguments):
    """Brings a model, a dataset and callbacks to the state of the newest checkpoint.

    Args:
        model: A compiled model.
        directory: Folder of a `Checkpoint`; None, one that is empty or one that does
            not exist begin at the beginning.
        dataset: What is trained on.
        callbacks: List of callbacks; one is added where an epoch was under way.
        arguments: Dict of the other arguments of `fit`, whose `initial_epoch` is set.

    Raises:
        ValueError: where the checkpoint is of another model, optimiser or dataset.
    """
    found = None if directory is None else checkpoints.read_newest(directory)
    path, meta, values = found or (None, {"step": 0, "epoch": 0, "batches": 0}, None)
    if found:
        arguments["initial_epoch"] = meta["epoch"]
        if meta["data"] and hasattr(dataset, "restore"):
            dataset.restore(meta["data"])
        checkpoints.assign(checkpoints.variables_of(model), values, path)
        if arguments.get("verbose", "auto") != 0:
            print(
                f"Resuming from {path}: {meta['step']} steps are done, "
                f"{meta['epoch']} epochs and {meta['batches']} batches."
            )
    for callback in callbacks:
        if isinstance(callback, Checkpoint):
            callback.begin(dataset, meta["step"])
        if isinstance(callback, EMATeacher):
            callback.batches_before = meta["batches"]
    if meta["batches"]:
        callbacks.append(_EndOfRun(meta["batches"]))


class _EndOfRun(keras.callbacks.Callback):
    """Ends a run whose epochs were begun by an earlier one with its last step.

    Args:
        batches_before: Batches of the first epoch that the earlier run did.
    """

    def __init__(self, batches_before):
        super().__init__()
        self.batches_before = batches_before

    def on_epoch_begin(self, epoch, logs=None):
        self.is_last = epoch + 1 == self.params["epochs"]

    def on_train_batch_end(self, batch, logs=None):
        steps = self.params.get("steps")
        if steps and self.is_last and batch + 1 + self.batches_before >= steps:
            self.model.stop_training = True
