import functools
import math

import keras
import numpy as np
import pytest
from keras import ops

from gradients import gradients_of
from keras_asit.layers.dense import by_rows
from keras_asit.layers.gelu import dense_of_gelu, gelu

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


def dense(dtype="float32"):
    layer = keras.layers.Dense(3, dtype=dtype)
    layer.build((None, 7))
    rng = np.random.default_rng(0)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    return layer


def test_a_dense_layer_behind_it_gives_the_same():
    layer = dense()
    tokens = np.stack([X, 0.5 * X])
    found = ops.convert_to_numpy(dense_of_gelu(layer, tokens))
    assert found.shape == (2, 7, 3)
    np.testing.assert_allclose(
        found, ops.convert_to_numpy(layer(gelu(tokens))), rtol=1e-5, atol=1e-5
    )


def test_a_dense_layer_behind_it_has_the_same_gradients():
    """With respect to the input, kernel and bias."""
    layer = dense()
    scale = np.random.default_rng(1).normal(size=(7, 3)).astype("float32")

    def gradients(function):
        def weighted(x, kernel, bias):
            pairs = [(layer.kernel, kernel), (layer.bias, bias)]
            with keras.StatelessScope(state_mapping=pairs):
                return ops.sum(scale * function(x))

        return gradients_of(weighted, X, *layer.get_weights())

    ours = gradients(lambda x: dense_of_gelu(layer, x))
    expected = gradients(lambda x: layer(gelu(x)))
    for found, wanted in zip(ours, expected, strict=True):
        assert np.abs(wanted).max() > 0.1
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def test_a_dense_layer_behind_it_in_half_precision():
    layer = dense("mixed_bfloat16")
    narrow = ops.cast(X, "bfloat16")
    out = dense_of_gelu(layer, narrow)
    assert keras.backend.standardize_dtype(out.dtype) == "bfloat16"
    np.testing.assert_allclose(
        ops.convert_to_numpy(ops.cast(out, "float32")),
        ops.convert_to_numpy(ops.cast(layer(gelu(narrow)), "float32")),
        rtol=0.02,
        atol=0.05,
    )


def test_a_quantised_layer_behind_it_is_called_as_it_is():
    layer = dense()
    layer.quantize("int8")
    np.testing.assert_array_equal(
        ops.convert_to_numpy(dense_of_gelu(layer, X)),
        ops.convert_to_numpy(layer(gelu(X))),
    )


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only TensorFlow has unknown sizes"
)
def test_tokens_of_unknown_number():
    import tensorflow as tf

    layer = dense()
    signature = [tf.TensorSpec((None, None, 7))]
    for function in (dense_of_gelu, by_rows):
        of_layer = functools.partial(function, layer)
        traced = tf.function(of_layer, input_signature=signature)
        found = traced(X[None])
        assert found.shape == (1, 7, 3)
        np.testing.assert_allclose(found, function(layer, X[None]), rtol=1e-5)
