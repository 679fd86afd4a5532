"""What the batches are made of: the arrays of one clip, by epoch and number."""

import numpy as np

BATCHES_AHEAD = 2  # that are read while one is trained on


class ClipExamples:
    """What a dataset draws from: clips by (epoch, number), as numpy arrays.

    Subclasses define `read(epoch, index, rng)`, which returns a tuple whose
    first array is a waveform `[..., S]`.

    Args:
        reader: A `ClipReader`.
        indices: Numbers of the clips to draw.
        shuffle: Whether every epoch has another order.
        seed: Integer that fixes orders, shifts and crops.
        shapes: Shapes of the arrays of an example.
        dtypes: Their dtypes.
    """

    def __init__(self, reader, indices, shuffle, seed, shapes, dtypes):
        self.reader = reader
        self.indices = np.asarray(indices, "int64")
        self.shuffle = shuffle
        self.seed = seed
        self.shapes, self.dtypes = shapes, dtypes

    def order(self, epoch):
        """Numbers of the clips of an epoch, in order."""
        if not self.shuffle:
            return self.indices
        return np.random.default_rng((self.seed, epoch)).permutation(self.indices)

    def example(self, epoch, index):
        """The arrays of one clip: the same ones whoever asks, and when."""
        rng = np.random.default_rng((self.seed, epoch, index))
        arrays = self.read(epoch, index, rng)
        return tuple(
            np.asarray(array, dtype) for array, dtype in zip(arrays, self.dtypes)
        )

    def read(self, epoch, index, rng):
        raise NotImplementedError
