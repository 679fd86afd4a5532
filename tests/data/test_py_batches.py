"""The batches that JAX and PyTorch get; numpy alone, whatever the backend."""

import numpy as np
import pytest

from keras_asit.data.clips import ClipReader
from keras_asit.data.examples import ClipExamples
from keras_asit.data.passes import Passes
from keras_asit.data.py_batches import PyBatches
from keras_asit.data.sampling import Shuffled


class Starts(ClipExamples):
    """The first samples of each clip."""

    def read(self, index, key):
        return (self.reader.read(index)[:4],)


def py_batches(paths, batch_size=2):
    """The batches that JAX and PyTorch get, and those of their first epoch."""
    sampler = Shuffled(range(len(paths)))
    examples = Starts(ClipReader(paths, 8000), 0, [(4,)], ["float32"], sampler)
    rows = [examples.example(*row)[0] for row in examples.rows(0)]
    expected = np.reshape(rows, (-1, batch_size, 4))
    passes = Passes(examples, batch_size, len(expected))
    return PyBatches(passes, None, 2), expected


def test_a_pass_ends_with_its_last_batch(write_clips):
    dataset, _ = py_batches(write_clips(6))
    first = dataset[0]  # as `fit` does to build a model
    dataset.on_epoch_end()
    np.testing.assert_array_equal(dataset[0], first)
    assert len(list(dataset)) == 3
    assert not np.array_equal(dataset[0], first)
    with pytest.raises(IndexError, match="below 3"):
        dataset[3]


def test_batches_come_in_order_whatever_their_index(write_clips):
    dataset, expected = py_batches(write_clips(8))
    for indices in ([2, 0, 3, 1], [3, 2, 1, 0]):
        batches = [dataset[index] for index in indices]
        np.testing.assert_array_equal(batches, expected)
        assert not dataset._pass._ahead
    dataset.on_epoch_end()
    assert dataset.epoch == 1
    assert not np.array_equal([dataset[i] for i in range(4)], expected)


def test_a_look_at_a_batch_ends_no_epoch(write_clips):
    """Not at the last one either."""
    dataset, expected = py_batches(write_clips(6))
    dataset[dataset.num_batches - 1]
    assert dataset.num_batches == len(expected)  # as Keras asks afterwards
    dataset.on_epoch_end()
    assert dataset.epoch == 0
    np.testing.assert_array_equal(list(dataset), expected)
    assert dataset.epoch == 1


def test_two_iterators_at_once_do_not_disturb_each_other(write_clips):
    dataset, expected = py_batches(write_clips(6))
    pairs = list(zip(dataset, dataset))
    for column in zip(*pairs):
        np.testing.assert_array_equal(column, expected)
    assert len(pairs) == 3
    again = [dataset[0], *dataset]  # a pass within another
    np.testing.assert_array_equal(again[0], again[1])
    assert not np.array_equal(again[1:], expected)
    assert len(again) == 4
