"""A callback that watches over the health of a run."""

import time
import warnings

import keras
import numpy as np
from keras import ops

from keras_asit.callbacks.diagnosis import diagnose
from keras_asit.data.batches import checked_count

PREFIX = "doctor/"  # of its names in the logs


class Doctor(keras.callbacks.Callback):
    """Logs the vital signs of a pretraining, warns of collapse, and stops what is lost.

    `ASiTPretrainer.fit` adds one where none is among the callbacks. The signs are
    measured inside the compiled step; here they are read now and then, so that the
    device need not wait in every step.

    A step whose loss or gradient is not finite changes nothing, and is counted. Where a
    reading finds `patience` of them in a row or more training stops, with the names of
    the batch's clips where the dataset knows them. A sickness that all readings of
    `persistence` steps show is warned of once, with what to change.

    At the end of an epoch `logs` get the means of the readings, as `doctor/...`:
    `keras_asit.models.vitals.names` tells them. Beside those: `doctor/skipped_steps`
    of the whole run, `doctor/clips_per_second`, all batches taken for full, and
    `doctor/data_wait`, the share of the time in which training waited for a batch (not
    on TensorFlow with `steps_per_execution`). What was not measured in an epoch is NaN.

    Args:
        every: Steps from one reading to the next.
        patience: Steps in a row that may be skipped.
        persistence: Steps that a sickness must last before it is warned of.

    Raises:
        ValueError: For numbers below 1; when training begins, for another model.

    Example:

    >>> doctor = Doctor(every=10)
    >>> history = pretrainer.fit(views, epochs=1, verbose=0, callbacks=[doctor])
    >>> "doctor/gradient_norm" in history.history
    True
    """

    adds_to_logs = True

    def __init__(self, every=20, patience=20, persistence=60):
        super().__init__()
        self.every = checked_count("every", every)
        self.patience = checked_count("patience", patience)
        self.persistence = checked_count("persistence", persistence)
        self.dataset = None  # told by `fit`: what it trains on
        self.sickness = {}  # warned of: advice by name

    def on_train_begin(self, logs=None):
        if not hasattr(self.model, "vitals"):
            raise ValueError(
                "Expected an ASiTPretrainer: its training step measures what a Doctor "
                f"reads. Received: {type(self.model).__name__}"
            )
        model = self.model
        self._sizes = {head: model.options[f"{head}_dim"] for head in model.centers}
        passes = getattr(self.dataset, "passes", None)
        self._batches = passes.next if passes else 0  # of the dataset, before the next
        self._steps, self._since, self._timed_from = 0, {}, 0
        self._batch = 0  # clips of the largest one that was read
        self.sickness = {}

    def on_epoch_begin(self, epoch, logs=None):
        self._readings, self._in_epoch = [], 0
        self._began, self._waited = time.perf_counter(), self._wait()

    def on_train_batch_end(self, batch, logs=None):
        new = batch + 1 - self._in_epoch  # several, by steps_per_execution
        before, self._steps = self._steps, self._steps + new
        self._in_epoch, self._batches = batch + 1, self._batches + new
        # The first step compiles: time counts from its end.
        if before == 0:
            self._began, self._waited = time.perf_counter(), self._wait()
            self._timed_from = new
        if self._steps // self.every > before // self.every or before == 0:
            self._examine()

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self._began
        if not self._readings or self._steps % self.every:
            self._examine()
        if logs is None:
            return
        # The same names in every epoch: a CSVLogger has the columns of its first.
        names = self.model.vital_names
        found = dict.fromkeys(names, np.nan)
        if self._readings:
            means = np.mean([list(signs.values()) for signs in self._readings], axis=0)
            found = dict(zip(names, map(float, means)))
        del found["clips"]
        timed = self._in_epoch - self._timed_from
        self._timed_from = 0
        found["skipped_steps"] = _number(self.model.skipped_steps)
        is_timed, clips = timed > 0, self._batch * timed
        found["clips_per_second"] = clips / seconds if is_timed and clips else np.nan
        if self._waited is not None:
            waited = (self._wait() - self._waited) / seconds
            found["data_wait"] = waited if is_timed else np.nan
        logs.update({PREFIX + name: value for name, value in found.items()})

    def _wait(self):
        clock = getattr(self.model, "data_wait", None)
        return clock.seconds if clock else None

    def _examine(self):
        model = self.model
        in_a_row = int(_number(model.skipped_in_a_row))
        if in_a_row >= self.patience and not self.model.stop_training:
            self._stop(in_a_row)
        if in_a_row:  # the signs are those of an earlier step
            return
        values = ops.convert_to_numpy(model.vitals).astype(float)
        signs = dict(zip(model.vital_names, values))
        self._readings.append(signs)
        self._batch = max(self._batch, signs["clips"])
        self._judge(diagnose(signs, self._sizes))

    def _judge(self, found):
        """Warns of what has lasted, once."""
        self._since = {n: self._since.get(n, self._steps) for n in found}
        for name, advice in found.items():
            lasted = self._steps - self._since[name]
            if lasted >= self.persistence and name not in self.sickness:
                self.sickness[name] = advice
                warnings.warn(
                    f"Step {self._steps}: for {lasted} steps {advice}", stacklevel=1
                )

    def _stop(self, in_a_row):
        self.model.stop_training = True
        last = self._batches - 1
        names = self._clip_names(last)
        clips = f" The last of them has the clips {', '.join(names)}." if names else ""
        warnings.warn(
            f"Training is stopped: the loss or the gradients of the last {in_a_row} "
            f"batches were not finite, and changed nothing.{clips} Weights and "
            "checkpoints are those of the step before. Look for clips that are not "
            "finite or not in [-1, 1] (`asit audit`), lower the learning rate or clip "
            "gradients (global_clipnorm=3); in float16 take mixed_bfloat16",
            stacklevel=1,
        )

    def _clip_names(self, batch):
        passes = getattr(self.dataset, "passes", None)
        return passes.clip_names(batch) if passes else None


def _number(variable):
    return float(ops.convert_to_numpy(variable))
