"""What the batches are made of: the arrays of one clip, by epoch and number."""

import numpy as np

from keras_asit.data import draws

BATCHES_AHEAD = 2  # that are read while one is trained on


class ClipExamples:
    """What a dataset draws from: clips by (epoch, number), as numpy arrays.

    Subclasses define `read(epoch, index, key)`, which returns a tuple whose first
    array is a waveform `[..., S]`. Its random numbers come from the key alone.

    Args:
        reader: A `ClipReader`.
        seed: Integer that fixes orders, shifts and crops.
        shapes: Shapes of the arrays of an example.
        dtypes: Their dtypes.
        sampler: Function from (seed, epoch) to the numbers of the clips of an
            epoch, in order. See `keras_asit.data.sampling`.
        features: None, or a function of normalised features `[T, F]` and a key,
            for what augments features rather than waveforms.
    """

    def __init__(self, reader, seed, shapes, dtypes, sampler, features=None):
        self.reader = reader
        self.seed = seed
        self.shapes, self.dtypes = shapes, dtypes
        self.sampler = sampler
        self.augmented_features = features

    def order(self, epoch):
        """Numbers of the clips of an epoch, in order."""
        return np.asarray(self.sampler(self.seed, epoch), "int64")

    def example(self, epoch, index):
        """The arrays of one clip: the same ones whoever asks, and when."""
        key = draws.key(self.seed, epoch, self.reader.clips.number(index))
        arrays = self.read(epoch, index, key)
        return tuple(
            np.asarray(array, dtype) for array, dtype in zip(arrays, self.dtypes)
        )

    def read(self, epoch, index, key):
        raise NotImplementedError
