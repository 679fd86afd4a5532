import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_asit.layers.projection_head import BottleneckMLP, ProjectionHead
from layer_checks import check_layer

SMALL = {"hidden_dims": (7, 6), "bottleneck_dim": 5}


def tokens(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def with_random_weights(layer, shape):
    layer.build(shape)
    draws = np.random.default_rng(1)
    layer.set_weights([draws.normal(size=w.shape) for w in layer.weights])
    return layer


def gelu(x):
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def bottleneck(x, mlp, gelu_bottleneck=False):
    """The MLP in plain numpy, float64."""
    weights = [w.astype("float64") for w in mlp.get_weights()]
    for kernel, bias in zip(weights[:-2:2], weights[1:-2:2]):
        x = gelu(x @ kernel + bias)
    x = x @ weights[-2] + weights[-1]
    return gelu(x) if gelu_bottleneck else x


@pytest.mark.large_on_jax
def test_mlp_layer_properties():
    check_layer(
        BottleneckMLP,
        {**SMALL, "gelu_bottleneck": True},
        input_shape=(2, 3, 8),
        expected_output_shape=(2, 3, 5),
        expected_num_weights=6,
    )


def test_head_layer_properties():
    check_layer(
        ProjectionHead,
        {"output_dim": 9, **SMALL},
        input_shape=(2, 3, 8),
        expected_output_shape=(2, 3, 9),
        expected_num_weights=7,
    )


@pytest.mark.parametrize("gelu_bottleneck", [False, True])
def test_mlp_equals_plain_numpy(gelu_bottleneck):
    x = tokens(2, 3, 8)
    mlp = BottleneckMLP(**SMALL, gelu_bottleneck=gelu_bottleneck)
    mlp = with_random_weights(mlp, x.shape)
    expected = bottleneck(x, mlp, gelu_bottleneck)
    np.testing.assert_allclose(
        ops.convert_to_numpy(mlp(x)), expected, rtol=1e-4, atol=1e-4
    )


def test_logits_are_cosines():
    x = tokens(2, 3, 8)
    head = with_random_weights(ProjectionHead(9, **SMALL), x.shape)
    vectors = bottleneck(x, head.mlp)
    prototypes = ops.convert_to_numpy(head.prototypes).astype("float64")
    expected = np.empty((2, 3, 9))
    for index in np.ndindex(2, 3, 9):
        vector, prototype = vectors[index[:2]], prototypes[:, index[2]]
        norms = np.linalg.norm(vector) * np.linalg.norm(prototype)
        expected[index] = vector @ prototype / norms
    logits = ops.convert_to_numpy(head(x))
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert np.abs(logits).max() <= 1.0001


def test_heads_share_an_mlp():
    mlp = BottleneckMLP(**SMALL)
    local, glob = ProjectionHead(9, mlp=mlp), ProjectionHead(4, mlp=mlp)
    for head in (local, glob):
        head(tokens(2, 8))
    assert local.mlp is glob.mlp
    names = {id(w) for head in (local, glob) for w in head.weights}
    assert len(names) == 6 + 2
    assert not {id(w) for w in ProjectionHead(9, **SMALL).weights} & names


def test_config_is_not_consumed():
    config = ProjectionHead(9, **SMALL).get_config()
    first, second = (ProjectionHead.from_config(config) for _ in range(2))
    assert first.mlp.hidden_dims == second.mlp.hidden_dims == (7, 6)


@pytest.mark.parametrize("thaw, moves", [(0.0, False), (1.0, True), (None, True)])
def test_thaw_freezes_the_prototypes(thaw, moves):
    """One compiled step moves the MLP; the prototypes only when thawed."""
    x = tokens(4, 8)
    inputs = keras.Input((8,))
    head = ProjectionHead(9, **SMALL)
    model = keras.Model(inputs, head(inputs, thaw=thaw))
    before = [np.array(w) for w in head.get_weights()]
    logits = model.predict(x, verbose=0)
    model.compile(optimizer=keras.optimizers.SGD(1.0), loss="mse")
    model.fit(x, np.ones((4, 9), "float32"), verbose=0)
    named = zip([w.path for w in head.weights], before, head.get_weights())
    changed = {path: bool(np.any(old != new)) for path, old, new in named}
    assert changed[head.prototypes.path] is moves
    assert all(change for path, change in changed.items() if "kernel" in path)
    # What is frozen is the gradient: the logits do not depend on it.
    expected = ProjectionHead(9, **SMALL)
    expected.build((None, 8))
    expected.set_weights(before)
    np.testing.assert_allclose(
        ops.convert_to_numpy(expected(x)), logits, rtol=1e-5, atol=1e-6
    )


def test_a_zero_bottleneck_trains_without_nan():
    """Zeros have no direction: the logits are 0 and the gradient is finite."""
    model = keras.Sequential([ProjectionHead(9, **SMALL)])
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    zeros = np.zeros((2, 8), "float32")
    assert not np.any(model.predict(zeros, verbose=0))
    model.fit(zeros, np.ones((2, 9), "float32"), verbose=0)
    assert all(np.all(np.isfinite(w)) for w in model.get_weights())
