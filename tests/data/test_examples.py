import numpy as np
import pytest

from keras_asit.data.examples import times_before

pytestmark = pytest.mark.backend_free


def test_times_before():
    numbers = np.array([3, 1, 3, 3, 0, 1])
    assert times_before(numbers).tolist() == [0, 0, 1, 2, 0, 1]
    assert times_before(np.array([], "int64")).tolist() == []
    drawn = np.random.default_rng(0).integers(0, 9, 200)
    slow = [np.sum(drawn[:i] == number) for i, number in enumerate(drawn)]
    np.testing.assert_array_equal(times_before(drawn), slow)
