"""Schedules: pure functions of the step.

Learning rate, weight decay and teacher momentum follow one curve, a cosine
after an optional linear warm-up; the teacher temperature follows a line over
epochs (specification, Section 5, rows 13, 15 and 16).
"""

import math

import keras
from keras import ops


def cosine(step, start, end, steps):
    """Half a cosine from `start` at step 0 to `end` at step `steps` and after.

    Args:
        step: Scalar tensor or number.
        start: Value at step 0.
        end: Value from step `steps` on.
        steps: Length of the curve; tensors are accepted for all of them.
    """
    progress = ops.cast(step, "float32") / ops.maximum(ops.cast(steps, "float32"), 1.0)
    progress = ops.clip(progress, 0.0, 1.0)
    return end + 0.5 * (start - end) * (1.0 + ops.cos(math.pi * progress))


def linear_over_epochs(epoch, start, end, warmup_epochs, epochs):
    """A line from `start` to `end` over the first epochs, then `end`.

    Args:
        epoch: Number of the epoch, from 0.
        start: Value in epoch 0.
        end: Value in the last epoch of the warm-up and after.
        warmup_epochs: Length of the warm-up, clipped to the run.
        epochs: Length of the run.
    """
    last = min(warmup_epochs, epochs) - 1
    return end if epoch > last else start + (end - start) * epoch / max(last, 1)


@keras.saving.register_keras_serializable("keras_asit")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """A linear warm-up from 0, then a cosine from `start` to `end`.

    Used for the learning rate and for the weight decay.

    Args:
        start: Value at the end of the warm-up.
        end: Value at the last step.
        steps: Steps of the whole run, warm-up included.
        warmup_steps: Steps of the warm-up.

    Raises:
        ValueError: If the warm-up is negative or longer than the run.

    Example:

    >>> rate = WarmupCosine(5e-4, 1e-6, steps=1000, warmup_steps=100)
    >>> round(float(rate(50)), 6)
    0.00025
    """

    def __init__(self, start, end, steps, warmup_steps=0):
        super().__init__()
        if not 0 <= warmup_steps <= steps:
            raise ValueError(
                "Expected 0 <= warmup_steps <= steps; received "
                f"warmup_steps={warmup_steps}, steps={steps}."
            )
        self.start = start
        self.end = end
        self.steps = steps
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        after = step - self.warmup_steps
        curve = cosine(after, self.start, self.end, self.steps - self.warmup_steps)
        if not self.warmup_steps:
            return curve
        return ops.where(after < 0, self.start * step / self.warmup_steps, curve)

    def get_config(self):
        return {
            "start": self.start,
            "end": self.end,
            "steps": self.steps,
            "warmup_steps": self.warmup_steps,
        }


@keras.saving.register_keras_serializable("keras_asit")
class StepDecay(keras.optimizers.schedules.LearningRateSchedule):
    """A constant that shrinks by a factor again and again, after a linear warm-up.

    How AST's fine-tuning recipes lower the learning rate (specification, Section 7).

    Args:
        start: Value after the warm-up.
        factor: What it is multiplied by each time.
        first: Step of the first decay.
        every: Steps from one decay to the next.
        warmup_steps: Steps of the warm-up from 0; decays count in it too.

    Raises:
        ValueError: If a number is out of its range.

    Example:

    >>> rate = StepDecay(1e-4, factor=0.5, first=100, every=50)
    >>> [round(float(rate(step)) * 1e5, 2) for step in (99, 100, 149, 150)]
    [10.0, 5.0, 5.0, 2.5]
    """

    def __init__(self, start, factor, first, every, warmup_steps=0):
        super().__init__()
        if not 0 < factor <= 1 or first < 0 or every < 1 or warmup_steps < 0:
            raise ValueError(
                "Expected 0 < factor <= 1, first >= 0, every >= 1, warmup_steps >= 0; "
                f"received factor={factor}, first={first}, every={every}, "
                f"warmup_steps={warmup_steps}."
            )
        self.start, self.factor = start, factor
        self.first, self.every, self.warmup_steps = first, every, warmup_steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        decays = ops.maximum(ops.floor((step - self.first) / self.every) + 1.0, 0.0)
        value = self.start * ops.power(ops.cast(self.factor, "float32"), decays)
        if not self.warmup_steps:
            return value
        return value * ops.minimum(step / self.warmup_steps, 1.0)

    def get_config(self):
        return {
            "start": self.start,
            "factor": self.factor,
            "first": self.first,
            "every": self.every,
            "warmup_steps": self.warmup_steps,
        }
