import math

import keras
import numpy as np
import pytest
from keras import ops

from gradients import gradients_of
from keras_asit.layers.gelu import gelu

X = np.linspace(-6, 6, 49).astype("float32").reshape(7, 7)


def below(x):
    return 0.5 * (1 + np.vectorize(math.erf)(x.astype("float64") / math.sqrt(2)))


def test_equals_the_formula():
    np.testing.assert_allclose(ops.convert_to_numpy(gelu(X)), X * below(X), atol=1e-6)


def test_gradient_equals_the_formula():
    """`Phi(x) + x phi(x)`; at 0 it is 1/2."""
    (gradient,) = gradients_of(lambda x: ops.sum(3 * gelu(x)), X)
    density = np.exp(-(X.astype("float64") ** 2) / 2) / math.sqrt(2 * math.pi)
    np.testing.assert_allclose(gradient, 3 * (below(X) + X * density), atol=1e-5)
    assert gradient[3, 3] == pytest.approx(1.5)


def test_half_precision_is_rounded_once():
    narrow = ops.cast(X, "bfloat16")
    out = gelu(narrow)
    assert keras.backend.standardize_dtype(out.dtype) == "bfloat16"
    wide = ops.convert_to_numpy(ops.cast(narrow, "float32"))
    expected = ops.cast(ops.convert_to_tensor(wide * below(wide)), "bfloat16")
    np.testing.assert_allclose(
        ops.convert_to_numpy(ops.cast(out, "float32")),
        ops.convert_to_numpy(ops.cast(expected, "float32")),
        atol=1e-6,
        rtol=1 / 128,
    )
