"""Sums of squares."""

import numpy as np
from keras import ops

from keras_asit.squares import sums_of_squares


def test_sums_are_those_of_numpy():
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=shape) for shape in [(), (7,), (3, 4), (2, 3, 5)]]
    dtypes = ["float32", "float16", "float32", "bfloat16"]
    tensors = [ops.cast(x, dtype) for x, dtype in zip(arrays, dtypes)]
    found = sums_of_squares(tensors)
    rounded = [ops.convert_to_numpy(ops.cast(x, "float32")) for x in tensors]
    expected = [np.sum(x.astype("float64") ** 2) for x in rounded]
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-5)


def test_what_leaves_the_range_of_float16_does_not():
    found = sums_of_squares([ops.cast(ops.full((4,), 300.0), "float16")])
    assert ops.convert_to_numpy(found).tolist() == [360000.0]
