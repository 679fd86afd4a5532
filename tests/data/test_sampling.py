import numpy as np
import pytest

from keras_asit.data import Manifest
from keras_asit.data.sampling import Balanced, InOrder, Shuffled


def test_in_order_and_shuffled():
    assert InOrder([4, 2, 7])(0, 1).tolist() == [4, 2, 7]
    orders = [Shuffled(range(20))(0, epoch) for epoch in range(3)]
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    np.testing.assert_array_equal(orders[1], Shuffled(range(20))(0, 1))


def drawn(label_lists, epochs):
    paths = [f"{i}.wav" for i in range(len(label_lists))]
    targets = Manifest(paths, label_lists).class_indices(multi_label=True)
    sampler = Balanced(targets)
    assert len(sampler(0, 0)) == len(paths)
    return np.concatenate([sampler(0, epoch) for epoch in range(epochs)])


def test_classes_come_alike():
    labels = [("rare",)] * 2 + [("common",)] * 198
    rare = np.mean(drawn(labels, 50) < 2)
    assert abs(rare - 0.5) < 4 * np.sqrt(0.25 / 10_000)


def test_weights_are_those_worked_out_by_hand():
    """a has 1 clip, b 2, c 2: weights 1 + 1/2, 1/2 + 1/2, 1/2 and 0, of 3 in all."""
    indices = drawn([("a", "b"), ("b", "c"), ("c",), ()], 10_000)
    shares = np.bincount(indices, minlength=4) / len(indices)
    np.testing.assert_allclose(shares, [1.5 / 3, 1 / 3, 0.5 / 3, 0], atol=0.01)


def test_nothing_labelled():
    with pytest.raises(ValueError, match="no label at all"):
        drawn([(), ()], 1)
