"""Stochastic depth."""

import keras
from keras import ops

from keras_asit.replicas import ReplicaSeedGenerator


@keras.saving.register_keras_serializable("keras_asit")
class DropPath(keras.layers.Layer):
    """Drops a residual branch for a random part of the samples.

    The surviving branches are scaled by `1 / (1 - rate)`, so that the expected
    sum stays the same. ASiT's student uses it with a rate that grows linearly
    over depth (option 19 of the specification); the teacher does not.

    Args:
        rate: Share of the samples whose branch is dropped, in [0, 1).
        seed: Integer seed of the draws, or None for a random one.

    Input shape:
        `(B, ...)`, the output of a residual branch. `rate`, a scalar, stands in for
        the layer's own: it may be a tensor.

    Output shape:
        The input's.

    Raises:
        ValueError: If `rate` is outside [0, 1).

    Example:

    >>> branch = keras.ops.ones((4, 7, 16))
    >>> kept = DropPath(0.5, seed=0)(branch, training=True)

    Reference:
        Huang et al., Deep Networks with Stochastic Depth, 2016.
    """

    def __init__(self, rate=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed = seed
        self.seed_generator = ReplicaSeedGenerator(seed)

    @property
    def rate(self):
        return self._rate

    @rate.setter
    def rate(self, rate):
        if not 0 <= rate < 1:
            raise ValueError(
                f"rate is a share of the samples in [0, 1), for example 0.1; "
                f"received {rate!r}."
            )
        self._rate = float(rate)

    def call(self, branch, training=False, rate=None):
        if not training or (rate is None and self.rate == 0):
            return branch
        return branch * self.draw(branch, rate)

    def draw(self, branch, rate=None):
        """Factors of the samples, `(B, 1, ...)`: 0, or `1 / (1 - rate)`."""
        rate = self.rate if rate is None else rate
        shape = (ops.shape(branch)[0],) + (1,) * (len(branch.shape) - 1)
        draw = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
        keep = ops.cast(draw >= rate, branch.dtype)
        return ops.cast(keep / (1 - rate), branch.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
