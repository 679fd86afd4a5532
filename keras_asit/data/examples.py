"""What the batches are made of: the arrays of one clip, by epoch and number."""

import numpy as np

from keras_asit.data import draws

BATCHES_AHEAD = 2  # that are read while one is trained on


class ClipExamples:
    """What a dataset draws from: clips by number and key, as numpy arrays.

    Subclasses define `read(index, key)`, which returns a tuple whose first array is a
    waveform `[..., S]`. Its random numbers come from the key alone.

    Args:
        reader: A `ClipReader`.
        seed: Integer that fixes orders, shifts and crops.
        shapes: Shapes of the arrays of an example.
        dtypes: Their dtypes.
        sampler: Function from (seed, epoch) to the numbers of the clips of an
            epoch, in order. See `keras_asit.data.sampling`.
        features: None, or a function of normalised features `[T, F]` and a key,
            for what augments features rather than waveforms.
        options: Dict for JSON of what else the arrays depend on.
    """

    def __init__(
        self, reader, seed, shapes, dtypes, sampler, features=None, options=None
    ):
        self.reader = reader
        self.seed = seed
        self.shapes, self.dtypes = shapes, dtypes
        self.sampler = sampler
        self.augmented_features = features
        self.options = options or {}

    def rows(self, epoch):
        """Number and key (`draws.key`) of every clip of an epoch, in order.

        A clip that is drawn several times in an epoch has another key each time.

        Returns:
            int64 `[N, 2]`; the keys are uint64, viewed as int64.
        """
        indices = np.asarray(self.sampler(self.seed, epoch), "int64")
        keys = draws.key(self.seed, epoch, self.reader.clips.numbers(indices))
        earlier = times_before(indices)
        keys = np.where(earlier, draws.derived(keys, earlier), keys)
        return np.stack([indices, keys.view("int64")], axis=-1)

    def example(self, index, key):
        """The arrays of one clip: the same ones whoever asks, and when.

        Args:
            index: Its number.
            key: Its key in the epoch, an integer.
        """
        arrays = self.read(index, np.array([key]).astype("uint64"))
        return tuple(
            np.asarray(array, dtype) for array, dtype in zip(arrays, self.dtypes)
        )

    def read(self, index, key):
        raise NotImplementedError


def times_before(numbers):
    """How often each number stands before its place, int64 `[N]`."""
    order = np.argsort(numbers, kind="stable")
    sorted_numbers, places = numbers[order], np.arange(len(numbers))
    begins = np.r_[True, sorted_numbers[1:] != sorted_numbers[:-1]]
    times = np.empty(len(numbers), "int64")
    times[order] = places - np.maximum.accumulate(np.where(begins, places, 0))
    return times
