"""A callback that saves the whole state of a run, so that none of it is lost."""

import signal
import sys
import threading
import warnings

import keras
import numpy as np

from keras_asit import checkpoints
from keras_asit.data.batches import checked_count


class Checkpoint(keras.callbacks.Callback):
    """Saves the state of training every so many steps, and at its end.

    A checkpoint has everything that the next step depends on: student, teacher, heads,
    centres, schedules, the seeds of all layers, the optimiser, and the position in the
    dataset. `fit(..., resume=directory)` of a pretrainer or a classifier goes on from
    the newest one: a run that was killed ends with the very weights that it would have
    had. Only the datasets of `keras_asit.data` have a position; of others the epoch
    that was under way begins anew.

    The values are copied between two steps, and written by a thread while training
    goes on. A file has its name when it is whole and on the disk. Where the weights
    are not finite nothing is saved. At SIGTERM, as clusters send it, a checkpoint is
    written after the step, and the program ends with status 0.

    Args:
        directory: Folder of the checkpoints.
        every: Steps from one to the next.
        keep: How many of the newest stay.

    Raises:
        ValueError: for numbers below 1; when training begins, for a folder with
            checkpoints of a run that is not resumed.

    Example:

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> saving = Checkpoint(folder, every=100)
    >>> history = pretrainer.fit(
    ...     views, epochs=2, verbose=0, callbacks=[saving], resume=folder)
    """

    def __init__(self, directory, every=1000, keep=3):
        super().__init__()
        self.directory = directory
        self.every = checked_count("every", every)
        self.keep = checked_count("keep", keep)
        self._dataset, self._steps = None, 0
        self._writer = None
        self._asked_to_end = threading.Event()
        self._former_handler = None

    def begin(self, dataset, steps):
        """Told by `fit`: what it trains on, and how many steps were done before."""
        self._dataset, self._steps = dataset, steps

    def on_train_begin(self, logs=None):
        if not self._steps and (there := checkpoints.paths_in(self.directory)):
            raise ValueError(
                f"Expected a folder without checkpoints for a new run. Received: "
                f"{self.directory}, with {there[0].name}. Go on with that run by "
                "fit(..., resume=folder), or name another folder"
            )
        self._saved_at = self._steps
        self._asked_to_end.clear()
        if threading.current_thread() is threading.main_thread():
            self._former_handler = signal.signal(signal.SIGTERM, self._end_soon)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch, self._batches = epoch, 0

    def on_train_batch_end(self, batch, logs=None):
        self._steps += batch + 1 - self._batches  # several, by steps_per_execution
        self._batches = batch + 1
        if self._asked_to_end.is_set():
            self._save()
            self.wait()
            self.forget_signal()
            sys.exit(0)
        is_busy = self._writer is not None and self._writer.is_alive()
        if self._steps - self._saved_at >= self.every and not is_busy:
            self._save()

    def on_train_end(self, logs=None):
        self.forget_signal()
        if self._steps > self._saved_at:
            self._save()
        self.wait()

    def wait(self):
        """Returns when what is being written is on the disk."""
        if self._writer is not None:
            self._writer.join()
            self._writer = None

    def forget_signal(self):
        """Leaves SIGTERM to who had it before."""
        if self._former_handler is not None:
            signal.signal(signal.SIGTERM, self._former_handler)
            self._former_handler = None

    def _end_soon(self, number, frame):
        if self._asked_to_end.is_set():  # again: no step came to its end since
            self.forget_signal()
            signal.raise_signal(number)
        self._asked_to_end.set()

    def _save(self):
        """Copies the state, and lets a thread write it."""
        self.wait()
        values = checkpoints.values_of(checkpoints.variables_of(self.model))
        self._saved_at = self._steps
        self._writer = threading.Thread(
            target=self._write, args=(self._steps, values, self._position())
        )
        self._writer.start()

    def _position(self):
        """Where training is: epoch, batches of it that are done, place in the data."""
        per_epoch = self.params.get("steps")
        epoch, batches = self._epoch, self._batches
        if per_epoch:  # epochs of a resumed run do not begin where Keras' do
            epoch, batches = divmod(self._steps, per_epoch)
        state = getattr(self._dataset, "state", None)
        data = state(self._steps) if state else None
        return {"epoch": epoch, "batches": batches, "data": data}

    def _write(self, steps, values, position):
        if not all(np.isfinite(v).all() for v in values if v.dtype.kind in "fV"):
            warnings.warn(
                f"Step {steps}: weights or the optimizer's state are not finite, and "
                "are not saved. Resume from the checkpoint before, with a lower "
                "learning rate or clipped gradients",
                stacklevel=1,
            )
            return
        try:
            checkpoints.write(self.directory, steps, values, position)
            checkpoints.remove_old(self.directory, self.keep)
        except OSError as error:
            warnings.warn(
                f"Step {steps}: no checkpoint in {self.directory}: {error}. Training "
                "goes on, and tries again",
                stacklevel=1,
            )
