"""Which weights of a fine-tuning count: a mean over epochs, or the best epoch's."""

import json
import os
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm


class AfterEpochs(keras.callbacks.Callback):
    """Acts after every pass over the clips, by the optimiser's count of steps.

    The epochs of Keras begin where a run was resumed, in the middle of a pass.

    Args:
        steps: Steps of a pass.
    """

    def __init__(self, steps):
        super().__init__()
        self.steps = steps

    def on_train_begin(self, logs=None):
        self._done = int(self.model.optimizer.iterations)

    def on_train_batch_end(self, batch, logs=None):
        self._done += 1
        if self._done % self.steps == 0:
            self.after_epoch(self._done // self.steps)

    def after_epoch(self, number):
        """Called after epoch `number`, from 1."""
        raise NotImplementedError


class AverageEpochs(AfterEpochs):
    """Leaves the mean of the weights after some epochs (AST's weight averaging).

    What was summed lies in a file, so that a run that is resumed counts every epoch
    once.

    Args:
        first: Number of the first epoch, from 1.
        last: Number of the last one.
        file: Path of the file, `average.npz`.
        steps: Steps of an epoch.
    """

    def __init__(self, first, last, file, steps):
        super().__init__(steps)
        self.first, self.last, self.file = first, last, Path(file)

    def after_epoch(self, number):
        done, sums = 0, None
        if not self.first <= number <= self.last:
            return
        if number > self.first and self.file.is_file():
            with np.load(self.file) as saved:
                done = int(saved["last"])
                sums = [saved[f"sum{i}"] for i in range(len(saved.files) - 1)]
        if number <= done:
            return  # counted before the run was interrupted
        values = [
            keras.ops.convert_to_numpy(v).astype("float64")
            for v in self.model.trainable_variables
        ]
        sums = values if sums is None else [a + b for a, b in zip(sums, values)]
        arrays = {f"sum{i}": value for i, value in enumerate(sums)}
        _write(self.file, lambda path: np.savez(path, last=number, **arrays))

    def on_train_end(self, logs=None):
        if not self.file.is_file():
            return
        with np.load(self.file) as saved:
            count = int(saved["last"]) - self.first + 1
            for i, variable in enumerate(self.model.trainable_variables):
                variable.assign((saved[f"sum{i}"] / count).astype("float32"))


class BestEpoch(AfterEpochs):
    """Scores every epoch, and leaves the weights of the best one.

    Args:
        score: Function of the model that returns a number, higher for better.
        folder: Folder of `epochs.json`, the scores, and `best.weights.h5`.
        steps: Steps of an epoch.
    """

    def __init__(self, score, folder, steps):
        super().__init__(steps)
        self.score, self.folder = score, Path(folder)
        self.scores = {}

    @property
    def weights_file(self):
        return self.folder / "best.weights.h5"

    @property
    def best(self):
        """Number of the best epoch so far, the first of equals, from 1."""
        return max(self.scores, key=lambda e: (self.scores[e], -e), default=None)

    def on_train_begin(self, logs=None):
        super().on_train_begin()
        self.folder.mkdir(parents=True, exist_ok=True)
        file, done = self.folder / "epochs.json", self._done // self.steps
        if done and file.is_file():
            known = json.loads(file.read_text(encoding="utf-8"))
            self.scores = {int(e): s for e, s in known.items() if int(e) <= done}

    def after_epoch(self, number):
        self.scores[number] = float(self.score(self.model))
        if self.best == number:
            _write(self.weights_file, self.model.save_weights)
        text = json.dumps(self.scores, indent=1)
        _write(self.folder / "epochs.json", lambda path: Path(path).write_text(text))

    def on_train_end(self, logs=None):
        if self.best is not None and self.weights_file.is_file():
            self.model.load_weights(self.weights_file)


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
