"""Which weights of a fine-tuning count: a mean over epochs, or the best epoch's."""

import json
import os
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm


class AfterEpochs(keras.callbacks.Callback):
    """Acts after every pass over the clips, by the steps that the whole run has done.

    The epochs of Keras begin where a run was resumed, in the middle of a pass.

    Args:
        steps: Steps of a pass. `steps_per_execution` is 1.
        checkpoint: The `callbacks.Checkpoint` of a run that may be resumed, which knows
            what was done before; None for a run that begins now.
    """

    def __init__(self, steps, checkpoint=None):
        super().__init__()
        self.steps, self.checkpoint = steps, checkpoint

    def on_train_begin(self, logs=None):
        self._done = self.checkpoint.steps if self.checkpoint else 0

    @property
    def is_resumed(self):
        """Whether something was done before this run began."""
        return bool(self.checkpoint and self.checkpoint.steps)

    def on_train_batch_end(self, batch, logs=None):
        self._done += 1
        if self._done % self.steps == 0:
            self.after_epoch(self._done // self.steps)

    def after_epoch(self, number):
        """Called after epoch `number`, from 1."""
        raise NotImplementedError


class AverageEpochs(AfterEpochs):
    """Sums the weights after some epochs, for their mean (AST's weight averaging).

    The sums lie in a file, so that a run that is resumed counts every epoch once. The
    run itself goes on with its own weights; `apply` gives a model the mean.

    Args:
        first: Number of the first epoch, from 1.
        last: Number of the last one.
        file: Path of the file, `average.npz`.
        steps, checkpoint: As of `AfterEpochs`.
    """

    def __init__(self, first, last, file, steps, checkpoint=None):
        super().__init__(steps, checkpoint)
        self.first, self.last, self.file = first, last, Path(file)

    def after_epoch(self, number):
        if not self.first <= number <= self.last:
            return
        values = [
            keras.ops.convert_to_numpy(v).astype("float64")
            for v in self.model.trainable_variables
        ]
        if number > self.first:
            done, sums = self._read()
            if number <= done:
                return  # counted before the run was interrupted
            if number != done + 1:
                raise ValueError(
                    f"Expected the weights after the epochs {self.first} to "
                    f"{number - 1} in {self.file}. Received: those up to {done}. Begin "
                    "the run anew, in an empty folder."
                )
            values = [a + b for a, b in zip(sums, values, strict=True)]
        arrays = {f"sum{i}": value for i, value in enumerate(values)}
        _write(self.file, lambda path: np.savez(path, last=number, **arrays))

    def apply(self, model):
        """Gives a model the mean of the weights after the epochs."""
        done, sums = self._read()
        for variable, value in zip(model.trainable_variables, sums, strict=True):
            mean = value / (done - self.first + 1)
            variable.assign(
                mean.astype(keras.backend.standardize_dtype(variable.dtype))
            )

    def _read(self):
        if not self.file.is_file():
            raise ValueError(
                f"Expected {self.file}, the weights of the epochs before. Received: no "
                "such file. Begin the run anew, in an empty folder."
            )
        with np.load(self.file) as saved:
            sums = [saved[f"sum{i}"] for i in range(len(saved.files) - 1)]
            return int(saved["last"]), sums


class BestEpoch(AfterEpochs):
    """Scores every epoch, and keeps the weights of the best one.

    The run itself goes on with its own weights; `apply` gives a model the best.

    Args:
        score: Function of the model that returns a number, higher for better.
        folder: Folder of `epochs.json`, the scores, and the weights `best-3.npz`.
        steps, checkpoint: As of `AfterEpochs`.
    """

    def __init__(self, score, folder, steps, checkpoint=None):
        super().__init__(steps, checkpoint)
        self.score, self.folder = score, Path(folder)
        self.scores = {}

    @property
    def best(self):
        """Number of the best epoch so far, the first of equals, from 1."""
        return max(self.scores, key=lambda e: (self.scores[e], -e), default=None)

    def on_train_begin(self, logs=None):
        super().on_train_begin()
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / "epochs.json"
        if self.is_resumed and file.is_file():
            known = json.loads(file.read_text(encoding="utf-8"))
            self.scores = {int(epoch): score for epoch, score in known.items()}

    def after_epoch(self, number):
        if number in self.scores:
            return  # before the run was interrupted, with the weights that are kept
        self.scores[number] = float(self.score(self.model))
        if self.best == number:
            values = [keras.ops.convert_to_numpy(w) for w in self.model.weights]
            arrays = {f"weight{i}": value for i, value in enumerate(values)}
            _write(self._file(number), lambda path: np.savez(path, **arrays))
        text = json.dumps(self.scores, indent=1)
        _write(self.folder / "epochs.json", lambda path: Path(path).write_text(text))
        for file in self.folder.glob("best-*.npz"):  # only now is none of them needed
            if file != self._file(self.best):
                file.unlink()

    def apply(self, model):
        """Gives a model the weights of the best epoch."""
        with np.load(self._file(self.best)) as saved:
            for i, weight in enumerate(model.weights):
                weight.assign(saved[f"weight{i}"])

    def _file(self, number):
        return self.folder / f"best-{number}.npz"


class EpochBar(keras.callbacks.Callback):
    """One progress bar for all epochs, with the newest logs behind it.

    Args:
        label: What the bar says.
        epochs: Their number.
    """

    def __init__(self, label, epochs):
        super().__init__()
        self.label, self.epochs = label, epochs

    def on_train_begin(self, logs=None):
        self._bar = tqdm(total=self.epochs, desc=self.label, unit="epoch")

    def on_epoch_end(self, epoch, logs=None):
        values = {name: f"{value:.3f}" for name, value in (logs or {}).items()}
        self._bar.set_postfix(values, refresh=False)
        self._bar.update(epoch + 1 - self._bar.n)

    def on_train_end(self, logs=None):
        self._bar.close()


def _write(path, write):
    """Writes a file, whole or not at all. The suffix stays: writers look at it."""
    partial = path.with_name(f"part-{os.getpid()}-{path.name}")
    write(partial)
    partial.replace(path)
