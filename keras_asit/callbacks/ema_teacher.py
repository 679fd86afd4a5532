"""The schedule of the EMA teacher."""

import math
from numbers import Real

import keras
from keras import ops

from keras_asit.schedules import linear_over_epochs


class EMATeacher(keras.callbacks.Callback):
    """Owns the teacher's schedules: momentum by step, temperature by epoch.

    The update `theta_t <- m theta_t + (1 - m) theta_s` itself runs inside the
    compiled training step of `ASiTPretrainer`, where m is a cosine of the step
    counter; this callback tells it the curve (paper, Section 4.2). The teacher's
    temperature grows linearly over the first epochs.

    When the number of steps is not known before the first epoch (a generator),
    the momentum stays at its start for that epoch and follows the cosine after.
    A resumed run (`initial_epoch`) counts the steps that the restored model has
    done.

    Args:
        momentum: m at the first step.
        final_momentum: m at the last step.
        teacher_temperature: Temperature of the first epoch.
        final_teacher_temperature: Temperature after the warm-up.
        temperature_epochs: Epochs of the warm-up, clipped to the run.
        total_steps: Steps of the whole run, where `fit` cannot know it.

    Raises:
        ValueError: If a momentum is outside [0, 1] or a temperature not positive.

    Example:

    >>> callback = EMATeacher(momentum=0.99)
    >>> history = pretrainer.fit(views, epochs=2, verbose=0, callbacks=[callback])

    Reference:
        Caron et al., Emerging Properties in Self-Supervised Vision
        Transformers, 2021.
    """

    def __init__(
        self,
        momentum=0.996,
        final_momentum=1.0,
        teacher_temperature=0.04,
        final_teacher_temperature=0.07,
        temperature_epochs=30,
        total_steps=None,
    ):
        super().__init__()
        for name, value in (("momentum", momentum), ("final_momentum", final_momentum)):
            if not isinstance(value, Real) or not 0 <= value <= 1:
                raise ValueError(
                    f"{name} is in [0, 1]; received {value!r}. Give for example 0.996 "
                    "(0 copies the student at each step, 1 keeps the teacher)."
                )
        temperatures = (teacher_temperature, final_teacher_temperature)
        if not all(isinstance(t, Real) and 0 < t < math.inf for t in temperatures):
            raise ValueError(
                "Teacher temperatures are positive; received "
                f"{teacher_temperature!r} and {final_teacher_temperature!r}. Give for "
                "example 0.04 and 0.07 (the lower, the surer the teacher)."
            )
        self.momentum = momentum
        self.final_momentum = final_momentum
        self.teacher_temperature = teacher_temperature
        self.final_teacher_temperature = final_teacher_temperature
        self.temperature_epochs = temperature_epochs
        self.total_steps = total_steps
        # Of a run that is resumed: the curve is restored with the model; what was done
        # of the first epoch, and of epochs that were begun anew.
        self.is_resumed = False
        self.batches_before = self.batches_repeated = 0

    def on_train_begin(self, logs=None):
        if not hasattr(self.model, "update_teacher"):
            raise ValueError(
                "EMATeacher schedules the teacher of an ASiTPretrainer; received "
                f"{type(self.model).__name__}. Pass it to ASiTPretrainer.fit."
            )
        self._first_epoch = True

    def on_epoch_begin(self, epoch, logs=None):
        if self._first_epoch:
            self._set_momentum(epoch, self.params.get("steps"))
            self._first_epoch = False
        self._epoch = epoch
        self._set_temperature(epoch)
        self._steps_before = self._steps_done()

    def on_train_batch_begin(self, batch, logs=None):
        # Epochs of a resumed run begin within those of `fit`.
        steps = self.params.get("steps")
        if steps and self.batches_before and batch == steps - self.batches_before:
            self._set_temperature(self._epoch + 1)

    def on_epoch_end(self, epoch, logs=None):
        if self._steps is None:
            steps = self._steps_done() - self._steps_before
            self._set_momentum(epoch + 1, int(steps))

    def _set_temperature(self, epoch):
        temperature = linear_over_epochs(
            epoch,
            self.teacher_temperature,
            self.final_teacher_temperature,
            self.temperature_epochs,
            self.params["epochs"],
        )
        self.model.teacher_temperature.assign(temperature)

    def _steps_done(self):
        # `float` does not take the mirrored variables of `tf.distribute`.
        return float(ops.convert_to_numpy(self.model.steps_done))

    def _set_momentum(self, epochs_done, steps_per_epoch):
        """Writes the curve into the model's weights.

        Epochs done count as steps done, so that a resumed run goes on where the
        curve was. Where the steps of an epoch are unknown, those since the curve's
        first step are counted; both are restored with the model.
        """
        model = self.model
        others = self.batches_before + self.batches_repeated
        if not steps_per_epoch and epochs_done:
            first = float(ops.convert_to_numpy(model.momentum_from_step))
            steps_per_epoch = (self._steps_done() - first - others) / epochs_done
        known = self.total_steps or steps_per_epoch
        self._steps = known
        total = self.total_steps or (steps_per_epoch or 0) * self.params["epochs"]
        model.momentum_start.assign(self.momentum)
        model.momentum_end.assign(self.final_momentum if known else self.momentum)
        model.momentum_steps.assign(max(total, 1))
        if not self.is_resumed:
            done = epochs_done * (steps_per_epoch or 0)
            model.momentum_from_step.assign(self._steps_done() - done)
