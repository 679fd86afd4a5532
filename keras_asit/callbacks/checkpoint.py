"""A callback that saves the whole state of a run, so that none of it is lost."""

import sys
import tempfile
import threading
import warnings
from pathlib import Path

import keras
import numpy as np

from keras_asit import checkpoints, processes
from keras_asit.callbacks.progress import Progress
from keras_asit.callbacks.termination import Termination
from keras_asit.data.batches import checked_count

STEPS_APART = 10  # at which several processes ask each other whether one should end


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
    are not finite nothing is saved; what goes wrong in the thread is warned of, and
    tried again. At SIGTERM, as clusters send it, a checkpoint is written after the
    step, and the program ends with status 0, or 1 where it could not be saved. A
    second SIGTERM before that ends it at once. Python tells of signals in its main
    thread only: a `fit` in another does not notice them.

    Where several processes train together the first one writes, and all of them read:
    the folder is one that they share. They end together, at most ten steps after the
    first SIGTERM.

    Args:
        directory: Folder of the checkpoints.
        every: Steps from one to the next.
        keep: How many of the newest stay.

    Raises:
        ValueError: for numbers below 1; when training begins, for a folder with
            checkpoints of a run that is not resumed.
        OSError: when training begins, for a folder that cannot be written to.

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
        self._progress, self._termination = Progress(), Termination()
        self._passes, self._passes_ahead = None, 0
        self._writer, self._is_saved = None, True

    def begin(self, dataset, progress):
        """Told by `fit`: what it trains on, and a `Progress` of what was done before.

        A dataset counts its own batches: it may have been trained on before.
        """
        self._progress, self._passes = progress, getattr(dataset, "passes", None)
        self._passes_ahead = self._passes.next - progress.steps if self._passes else 0

    @property
    def steps(self):
        """Steps that the run has done, those of the runs before it included."""
        return self._progress.steps

    def on_train_begin(self, logs=None):
        steps = self._progress.steps
        self._are_several = processes.count(self.model) > 1
        self._is_first = processes.index(self.model) == 0
        self._refuse_another_run(steps)
        self._refuse_folder()
        self._saved_at = self._asked_at = steps
        self._progress.begin(self.params.get("steps"))
        self._termination.listen()

    def _refuse_another_run(self, steps):
        """Its checkpoints would count as the newer ones."""
        for path in checkpoints.paths_in(self.directory):
            is_later = checkpoints.step_of(path) > steps
            if not steps or (is_later and checkpoints.is_sound(path)):
                run = f"a run that has done {steps} steps" if steps else "a new run"
                raise ValueError(
                    f"Expected a folder without {'later ' * bool(steps)}checkpoints "
                    f"for {run}. Received: {self.directory}, with {path.name}. Go on "
                    "with that run by fit(..., resume=folder), or name another folder"
                )

    def _refuse_folder(self):
        """Now, not when the first checkpoint is due; all processes together."""
        error = None
        if self._is_first:
            try:
                Path(self.directory).mkdir(parents=True, exist_ok=True)
                made = {"dir": self.directory, "prefix": "step-", "suffix": ".part"}
                tempfile.NamedTemporaryFile(**made).close()
            except OSError as refused:
                error = refused
        if any(processes.all_of(int(error is not None), self.model)):
            raise OSError(
                "Expected a folder for checkpoints that the first process can write "
                f"to. Received: {self.directory} ({error or 'see its error'}). Name "
                "another folder, or change who may write there"
            ) from error

    def on_epoch_begin(self, epoch, logs=None):
        self._progress.begin_epoch(epoch)

    def on_train_batch_end(self, batch, logs=None):
        self._progress.end_batch(batch)
        steps = self._progress.steps
        if self._must_end(steps - self._asked_at >= STEPS_APART):
            self._end()
        # Several save at the same step: they may exchange parts of the weights.
        is_free = self._are_several or not (self._writer and self._writer.is_alive())
        if steps - self._saved_at >= self.every and is_free:
            self._save()

    def on_test_begin(self, logs=None):
        states = checkpoints.seed_states(self.model)
        self._states_before_test = checkpoints.values_of(states)

    def on_test_batch_end(self, batch, logs=None):
        if not self._are_several and self._must_end():
            states = checkpoints.seed_states(self.model)  # no trace of the validation
            checkpoints.assign(states, self._states_before_test)
            self._end()

    def on_epoch_end(self, epoch, logs=None):
        self._progress.end_epoch(was_stopped=self.model.stop_training)

    def on_train_end(self, logs=None):
        self._save_the_last()
        if self._must_end():
            self._end()
        self.close()

    def close(self):
        """Waits for what is being written, and leaves SIGTERM to who had it before.

        `fit` calls it where it ends by an exception, too.
        """
        try:
            self.wait()
        finally:
            self._termination.forget()

    def wait(self):
        """Returns when what is being written is on the disk."""
        if self._writer is not None:
            self._writer.join()
            self._writer = None

    def _must_end(self, ask_others=True):
        """Whether SIGTERM came, to any of the processes."""
        is_asked = self._termination.is_asked
        if not self._are_several:
            return is_asked
        if not ask_others:
            return False
        self._asked_at = self._progress.steps
        return any(processes.all_of(int(is_asked), self.model))

    def _end(self):
        self._termination.answer()
        self._save_the_last()
        self.close()
        sys.exit(0 if self._is_saved else 1)

    def _save_the_last(self):
        if self._progress.steps > self._saved_at:
            self._save()
        self.wait()

    def _save(self):
        """Copies the state, and lets a thread write it."""
        self.wait()
        self._saved_at = self._progress.steps
        try:
            self._begin_to_write()
        except Exception as error:  # no memory for a copy, say, or no more threads
            if self._are_several:  # the others wait for this one
                raise
            self._is_saved = False
            self._warn(self._saved_at, error)

    def _begin_to_write(self):
        values = checkpoints.values_of(checkpoints.variables_of(self.model))
        if not self._is_first:
            return
        place = {**self._progress.place(), "data": self._position()}
        place |= checkpoints.identity_of(self.model)
        writer = threading.Thread(
            target=self._write, args=(self._saved_at, values, place)
        )
        writer.start()
        self._writer = writer

    def _position(self):
        """Where the dataset is; None for one that has no position."""
        passes = self._passes
        if passes is None or not passes.is_repeatable:
            return None
        batches = self._progress.steps + self._passes_ahead
        if not passes.all_are_full:  # such a pass begins with an epoch
            batches -= batches % passes.steps
        return passes.state(batches)

    def _write(self, steps, values, place):
        self._is_saved = False
        try:
            if not all(np.isfinite(v).all() for v in values if v.dtype.kind in "fV"):
                warnings.warn(
                    f"Step {steps}: weights or the optimizer's state are not finite, "
                    "and are not saved. Resume from the checkpoint before, with "
                    "clipped gradients or another schedule of the learning rate",
                    stacklevel=1,
                )
                return
            checkpoints.write(self.directory, steps, values, place)
            self._is_saved = True
            checkpoints.remove_old(self.directory, self.keep, newest=steps)
        except Exception as error:  # whatever it is, training goes on
            self._warn(steps, error)

    def _warn(self, steps, error):
        warnings.warn(
            f"Step {steps}: no checkpoint in {self.directory}: {error!r}. Training "
            "goes on, and tries again"
            if not self._is_saved
            else f"Old checkpoints stay in {self.directory}: {error!r}",
            stacklevel=1,
        )
