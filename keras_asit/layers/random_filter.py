"""Views as other rooms and microphones would have recorded them."""

import math

import keras
import numpy as np
from keras import ops

from keras_asit.replicas import ReplicaSeedGenerator


@keras.saving.register_keras_serializable("keras_asit")
class RandomFilter(keras.layers.Layer):
    """Adds a random gain over frequency to log-mel spectrograms, in training.

    A room, a microphone and its distance colour a sound. Two views of one clip share
    that colour, so it is the easiest way to tell clips apart, and says little of what
    sounds. With another filter for every view it no longer helps. Not the paper's.

    Gains are drawn from U(-`decibels`, `decibels`) at `num_points` points, evenly
    spaced over the mel bins; the others lie on straight lines between them.

    Args:
        decibels: Largest gain; 0 changes nothing.
        num_points: Points the gains are drawn at, 1 or more; one is a gain that all
            bins share.
        std: Standard deviation that the frontend normalises by, as `(x - mean) / (2
            std)`; None where it does not normalise.
        seed: Integer seed of the draws, or None for a random one.

    Input shape:
        `(B, T, F)` or `(B, V, T, F)`, frames then mel bins. Draws are independent for
        each spectrogram.

    Output shape:
        The input's.

    Raises:
        ValueError: If an argument is outside its range.

    Example:

    >>> views = keras.random.normal((4, 2, 96, 64))
    >>> heard = RandomFilter(decibels=12, seed=0)(views, training=True)

    Reference:
        Nam et al., FilterAugment: An Acoustic Environmental Data Augmentation Method,
        2022, with its linear filters, at fixed points.
    """

    def __init__(self, decibels=12.0, num_points=6, std=None, seed=None, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= decibels < math.inf:
            raise ValueError(f"decibels is 0 or more; received {decibels!r}.")
        if num_points != int(num_points) or num_points < 1:
            raise ValueError(
                f"num_points is a whole number, 1 or more; received {num_points!r}."
            )
        if std is not None and not 0 < std < math.inf:
            raise ValueError(f"std is more than 0, or None; received {std!r}.")
        self.decibels = decibels
        self.num_points = int(num_points)
        self.std = std
        self.seed = seed
        self.seed_generator = ReplicaSeedGenerator(seed)

    def call(self, spectrograms, training=False):
        if not training or not self.decibels:
            return spectrograms
        # The spectrograms are logarithms of power.
        largest = self.decibels * math.log(10) / 10 / (2 * self.std if self.std else 1)
        gains = keras.random.uniform(
            (*ops.shape(spectrograms)[:-2], self.num_points),
            -largest,
            largest,
            dtype=spectrograms.dtype,
            seed=self.seed_generator,
        )
        curves = ops.matmul(gains, self._lines(spectrograms.shape[-1]))
        return spectrograms + curves[..., None, :]

    def _lines(self, bins):
        """`(points, bins)`: what each point adds to each bin."""
        position = np.linspace(0, self.num_points - 1, bins)
        distance = np.abs(position - np.arange(self.num_points)[:, None])
        return ops.cast(np.maximum(0.0, 1 - distance), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "decibels": self.decibels,
            "num_points": self.num_points,
            "std": self.std,
            "seed": self.seed,
        }
