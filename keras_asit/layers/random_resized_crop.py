"""Views that are faster or slower, and of higher or lower pitch."""

import math

import keras
from keras import ops

from keras_asit.replicas import ReplicaSeedGenerator


@keras.saving.register_keras_serializable("keras_asit")
class RandomResizedCrop(keras.layers.Layer):
    """Crops spectrograms at random and resizes them to what they were, in training.

    The paper's views are "cropped and resized" (Section 3.1; row 21 of the
    specification, whose two profiles crop alone). Along frequency that moves and
    stretches what sounds, as another throat or a smaller dog would; along time it is
    a tempo. What stays the same is what the classes of sound are made of.

    For each axis the share that is cropped is drawn from U(low, high), and its place
    uniformly among those inside. A share above 1 reaches out as far on the one as on
    the other side, on average, and what lies outside repeats the border. Values
    between frames and bins are linear.

    Args:
        time: `(low, high)`, the share of the frames; `(1, 1)` changes nothing.
        frequency: The same of the mel bins.
        seed: Integer seed of the draws, or None for a random one.

    Input shape:
        `(B, T, F)` or `(B, V, T, F)`, frames then mel bins. Draws are independent for
        each spectrogram.

    Output shape:
        The input's.

    Raises:
        ValueError: If a range is not `0 < low <= high`.

    Example:

    >>> views = keras.random.normal((4, 2, 96, 64))
    >>> crop = RandomResizedCrop(time=(0.8, 1.2), frequency=(0.8, 1.2), seed=0)
    >>> tuple(crop(views, training=True).shape)
    (4, 2, 96, 64)

    Reference:
        Niizumi et al., BYOL for Audio: Self-Supervised Learning for General-Purpose
        Audio Representation, 2021.
    """

    def __init__(self, time=(0.6, 1.5), frequency=(0.6, 1.5), seed=None, **kwargs):
        super().__init__(**kwargs)
        self.time = _checked_range("time", time)
        self.frequency = _checked_range("frequency", frequency)
        self.seed = seed
        self.seed_generator = ReplicaSeedGenerator(seed)

    def call(self, spectrograms, training=False):
        if not training:
            return spectrograms
        if self.time != (1.0, 1.0):
            taps = self._taps(spectrograms, self.time, axis=-2)
            spectrograms = ops.matmul(taps, spectrograms)
        if self.frequency != (1.0, 1.0):
            taps = self._taps(spectrograms, self.frequency, axis=-1)
            spectrograms = ops.matmul(spectrograms, ops.swapaxes(taps, -1, -2))
        return spectrograms

    def _taps(self, spectrograms, share, axis):
        """`(..., L, L)`: by how much each old place counts for each new one."""
        length = spectrograms.shape[axis]
        leading = ops.shape(spectrograms)[:-2]
        drawn = keras.random.uniform(
            (2, *leading, 1), dtype="float32", seed=self.seed_generator
        )
        size = length * (share[0] + (share[1] - share[0]) * drawn[0])
        start = drawn[1] * (length - size)
        new = ops.arange(length, dtype="float32")
        old = start + (new + 0.5) * size / length - 0.5
        old = ops.clip(old, 0.0, length - 1.0)
        distance = ops.abs(old[..., None] - new)
        return ops.cast(ops.maximum(1.0 - distance, 0.0), spectrograms.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "time": self.time,
            "frequency": self.frequency,
            "seed": self.seed,
        }


def is_share_range(value):
    """Whether a value is `(low, high)` with `0 < low <= high`."""
    is_pair = isinstance(value, (tuple, list)) and len(value) == 2
    return is_pair and 0 < value[0] <= value[1] < math.inf


def _checked_range(name, value):
    if not is_share_range(value):
        raise ValueError(
            f"{name} is (low, high) with 0 < low <= high, shares of the axis; received "
            f"{value!r}."
        )
    return float(value[0]), float(value[1])
