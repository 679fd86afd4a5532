import keras
import numpy as np
import pytest
from keras import ops

from gradients import gradients_of
from keras_asit.layers.layer_norm import LayerNorm

X = np.random.default_rng(0).normal(2.0, 3.0, (2, 5, 8)).astype("float32")
SCALE = np.random.default_rng(1).normal(size=X.shape).astype("float32")


@pytest.fixture(scope="module")
def layers():
    """Ours and Keras' own, with the same weights."""
    ours, keras_own = LayerNorm(), keras.layers.LayerNormalization(epsilon=1e-6)
    rng = np.random.default_rng(2)
    weights = [rng.normal(size=8).astype("float32") for _ in range(2)]
    for layer in (ours, keras_own):
        layer.build(X.shape)
        layer.set_weights(weights)
    return ours, keras_own


def test_equals_the_formula(layers):
    gamma, beta = layers[0].get_weights()
    wide = X.astype("float64")
    centred = wide - wide.mean(axis=-1, keepdims=True)
    expected = centred / np.sqrt(wide.var(axis=-1, keepdims=True) + 1e-6)
    found = ops.convert_to_numpy(layers[0](X))
    np.testing.assert_allclose(found, expected * gamma + beta, atol=1e-5)


def test_gradients_equal_those_of_keras(layers):
    """With respect to the input, gamma and beta."""

    def gradients(layer):
        gamma, beta = layer.get_weights()

        def weighted(x, gamma, beta):
            pairs = [(layer.gamma, gamma), (layer.beta, beta)]
            with keras.StatelessScope(state_mapping=pairs):
                return ops.sum(SCALE * layer(x))

        return gradients_of(weighted, X, gamma, beta)

    for ours, theirs in zip(*map(gradients, layers), strict=True):
        assert np.abs(theirs).max() > 0.1
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_rows_without_variance_have_finite_gradients(layers):
    same = np.full_like(X, 7.0)
    (gradient,) = gradients_of(lambda x: ops.sum(SCALE * layers[0](x)), same)
    assert np.isfinite(gradient).all()
    np.testing.assert_allclose(
        ops.convert_to_numpy(layers[0](same)),
        np.broadcast_to(layers[0].get_weights()[1], X.shape),
        atol=1e-6,
    )


def test_half_precision_is_rounded_once():
    layer = LayerNorm(dtype="mixed_float16")
    far = (1000 * X).astype("float16")  # squares leave the range of float16
    out = layer(far)
    assert keras.backend.standardize_dtype(out.dtype) == "float16"
    wide = far.astype("float64")
    deviation = wide.std(axis=-1, keepdims=True)
    expected = (wide - wide.mean(axis=-1, keepdims=True)) / deviation
    np.testing.assert_allclose(
        ops.convert_to_numpy(out).astype("float64"), expected, atol=2e-3
    )
