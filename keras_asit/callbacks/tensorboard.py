"""A callback that shows a run in TensorBoard, on every backend."""

import math

import keras
import numpy as np
from keras import ops

from keras_asit import pictures, processes, schedules
from keras_asit.callbacks.event_file import EventFile, need_tensorboard
from keras_asit.callbacks.labelled_clips import LabelledClips
from keras_asit.callbacks.projector import write_projector
from keras_asit.callbacks.tolerance import Tolerance
from keras_asit.data.batches import checked_count


class TensorBoard(keras.callbacks.Callback):
    """Writes curves, pictures and embeddings for TensorBoard, without TensorFlow.

    `keras.callbacks.TensorBoard` needs TensorFlow, and knows neither schedules of a
    teacher nor spectrograms. Read with `tensorboard --logdir LOG_DIR`:

    - `epoch/...`: the losses of an epoch; `validation/...`, `doctor/...` and
      `probe/...`: what else is in its logs;
    - `step/...`: the losses, each the mean since the last point, and the vital signs of
      that step (`keras_asit.models.vitals.names`);
    - `schedule/...`: learning rate, weight decay, teacher's momentum and temperature,
      for the coming step;
    - the picture `reconstructions`: clean, mask, corrupted and reconstructed
      spectrograms of the same clips with the same masks, from before training on;
    - the projector: the embeddings of labelled clips, as they are now.

    The run is the same, to the bit, as without. The axis is the number of steps that
    were done, also where a run is resumed in the same folder. What cannot be
    written or drawn while training is warned of, and training goes on.

    Args:
        log_dir: Path of a local folder, one a run.
        views: A few clean views `(N, 2, T, F)` or waveforms `(N, 2, S)`, as for `fit`,
            of clips to reconstruct.
        labelled: Some hundred or thousand labelled clips for the projector: `(x, y)` or
            a dataset, as for `Probe`.
        class_names: Names of the classes of `labelled`, by number.
        every_steps: Steps from one point to the next within an epoch; None for points
            of epochs alone.
        every_epochs: Epochs from one picture and one projector to the next.
        batch_size: Clips of `labelled` in a forward pass, where they are arrays.
        pooling: Of the embeddings: `"mean"`, `"cls"` or `"cls+mean"`.

    Raises:
        ImportError: Where tensorboard is not installed, or matplotlib for `views`.
        ValueError: For arguments out of range; when training begins, for views or
            labelled clips that do not fit the model, or where several processes train
            it: the first of them then writes the curves, and nothing else.

    Example:

    >>> board = TensorBoard("logs/first", views=views[:2], every_steps=10)
    >>> history = pretrainer.fit(views, epochs=1, verbose=0, callbacks=[board])
    """

    def __init__(
        self,
        log_dir,
        views=None,
        labelled=None,
        class_names=None,
        every_steps=100,
        every_epochs=5,
        batch_size=32,
        pooling="mean",
    ):
        super().__init__()
        need_tensorboard()
        if views is not None:
            pictures.need_matplotlib()
        self.log_dir = log_dir
        self.views = views
        self.labelled = None
        if labelled is not None:
            self.labelled = LabelledClips(labelled, batch_size, pooling)
        self.class_names = class_names
        self.every_steps = every_steps
        if every_steps is not None:
            self.every_steps = checked_count("every_steps", every_steps)
        self.every_epochs = checked_count("every_epochs", every_epochs)
        self._tolerance = Tolerance("TensorBoard")

    def on_train_begin(self, logs=None):
        self._steps = 0  # of this call of `fit`
        done = self._steps_done()
        if self.views is not None or self.labelled is not None:
            processes.check_one(self.model, "views and labelled of TensorBoard")
        # Of several processes the first one writes, all else would be there twice.
        self._file = None
        if processes.index(self.model):
            return
        # TensorBoard drops what earlier runs wrote at this step or later ones.
        self._file = EventFile(self.log_dir, done + 1 if done else 0)
        self._masks_seed = _values(self._random_variables())
        # Before anything is lost, what does not fit the model is an error.
        if self.views is not None:
            self._draw(self._reconstructions(), done)
        if self.labelled is not None:
            self._project(*self.labelled.embed(self.model))
        with self._tolerance.going_on("scalars"):
            self._file.write_scalars(self._scheduled(), done)

    def on_epoch_begin(self, epoch, logs=None):
        self._in_epoch, self._before = 0, {}

    def on_train_batch_end(self, batch, logs=None):
        new = batch + 1 - self._in_epoch  # several, by steps_per_execution
        before, self._steps = self._steps, self._steps + new
        self._in_epoch = batch + 1
        every = self.every_steps
        if self._file is None or every is None:
            return
        if self._steps // every == before // every:
            return
        with self._tolerance.going_on("scalars"):
            found = {f"step/{n}": v for n, v in self._since_last(logs or {}).items()}
            self._write(found | self._vital_signs(logs or {}) | self._scheduled())

    def on_epoch_end(self, epoch, logs=None):
        if self._file is None:
            return
        with self._tolerance.going_on("scalars"):
            found = {_tag(name): value for name, value in (logs or {}).items()}
            self._write(found | self._scheduled())
        is_last = epoch + 1 == self.params.get("epochs") or self.model.stop_training
        if (epoch + 1) % self.every_epochs and not is_last:
            return
        if self.views is not None:
            with self._tolerance.going_on("picture"):
                self._draw(self._reconstructions(), self._steps_done())
        if self.labelled is not None:
            with self._tolerance.going_on("embeddings"):
                self._project(*self.labelled.embed(self.model))

    def on_train_end(self, logs=None):
        if self._file is None:
            return
        with self._tolerance.going_on("end of the event file"):
            self._file.close()

    # Numbers.

    def _write(self, scalars):
        finite = {tag: v for tag, v in scalars.items() if math.isfinite(v)}
        self._file.write_scalars(finite, self._steps_done())

    def _since_last(self, means):
        """Means of the steps since the last point; `means` are of the epoch so far."""
        found = {}
        for name, mean in means.items():
            number, total = self._before.get(name, (0, 0.0))
            now = self._in_epoch, mean * self._in_epoch
            found[name] = (now[1] - total) / (now[0] - number)
            self._before[name] = now
        return found

    def _vital_signs(self, logs):
        model = self.model
        if not hasattr(model, "vitals"):
            return {}
        signs = dict(zip(model.vital_names, ops.convert_to_numpy(model.vitals)))
        left = {name for name in signs if name not in logs} - {"clips"}
        return {f"step/{name}": signs[name] for name in left}

    def _scheduled(self):
        model = self.model
        optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        found = {"learning_rate": model.optimizer.learning_rate}
        if hasattr(optimizer, "weight_decay_now"):
            found["weight_decay"] = optimizer.weight_decay_now()
        if hasattr(model, "teacher_temperature"):
            found["teacher_temperature"] = model.teacher_temperature
            found["teacher_momentum"] = schedules.cosine(
                model.steps_done - model.momentum_from_step,
                model.momentum_start,
                model.momentum_end,
                model.momentum_steps,
            )
        return {f"schedule/{name}": _number(value) for name, value in found.items()}

    def _steps_done(self):
        model = self.model
        return int(_number(getattr(model, "steps_done", model.optimizer.iterations)))

    # Pictures and embeddings.

    def _random_variables(self):
        """What the corruption of views draws its masks from."""
        if self.views is None:
            return []
        names = ("corruption", "random_filter", "random_resized_crop")
        layers = [getattr(self.model, name, None) for name in names]
        return [v for layer in layers if layer is not None for v in layer.variables]

    def _reconstructions(self):
        """Arrays of `reconstruct`, by the masks of the first time.

        The states of the random generators are put back: training goes on as if
        nothing had been drawn.
        """
        variables = self._random_variables()
        states = _values(variables)
        try:
            _assign(variables, self._masks_seed)
            return self.model.reconstruct(self.views)
        finally:
            _assign(variables, states)

    def _draw(self, arrays, step):
        with self._tolerance.going_on("picture"):
            student = self.model.student
            frontend = student.frontend
            seconds = frontend.samples(student.num_frames) / frontend.sample_rate
            figure = pictures.reconstructions(arrays, seconds=seconds)
            self._file.write_picture("reconstructions", pictures.png(figure), step)

    def _project(self, embeddings, labels):
        with self._tolerance.going_on("embeddings"):
            write_projector(self.log_dir, embeddings, labels, self.class_names)


def _tag(name):
    """Where TensorBoard shows a number of the logs."""
    if name.startswith("val_"):
        return "validation/" + name.removeprefix("val_")
    return name if "/" in name else "epoch/" + name


def _number(value):
    return float(ops.convert_to_numpy(value))


def _values(variables):
    return [np.array(ops.convert_to_numpy(variable)) for variable in variables]


def _assign(variables, values):
    for variable, value in zip(variables, values):
        variable.assign(value)
