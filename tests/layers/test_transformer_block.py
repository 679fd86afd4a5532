import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_asit.layers.transformer_block import (
    SelfAttention,
    TransformerBlock,
    check_heads,
)
from layer_checks import check_layer


def tokens(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def with_random_weights(layer, shape):
    """The layer, built, with weights that are none of the initial ones."""
    layer.build(shape)
    draws = np.random.default_rng(1)
    layer.set_weights([0.5 * draws.normal(size=w.shape) for w in layer.weights])
    return layer


def values(variable):
    return ops.convert_to_numpy(variable).astype("float64")


def affine(x, layer):
    return x @ values(layer.kernel) + values(layer.bias)


def attention(x, layer):
    """Multi-head self-attention of one sequence `(N, D)`, head by head."""
    width = x.shape[-1] // layer.num_heads
    q, k, v = np.split(affine(x, layer.qkv), 3, axis=-1)
    mixed = []
    for head in range(layer.num_heads):
        part = slice(head * width, (head + 1) * width)
        scores = q[:, part] @ k[:, part].T / math.sqrt(width)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        mixed.append(weights @ v[:, part])
    return affine(np.concatenate(mixed, axis=-1), layer.projection)


def layer_norm(x, layer):
    deviation = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-6)
    scaled = (x - x.mean(axis=-1, keepdims=True)) / deviation
    return scaled * values(layer.gamma) + values(layer.beta)


def gelu(x):
    """Exact: `x` times the normal distribution's integral up to `x`."""
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


@pytest.mark.large_on_jax
def test_attention_layer_properties():
    check_layer(
        SelfAttention,
        {"num_heads": 2},
        input_shape=(2, 5, 8),
        expected_output_shape=(2, 5, 8),
        expected_num_weights=4,
    )


def test_the_bias_of_the_keys_changes_nothing():
    """It adds the same to all scores of a query, and softmax takes no notice."""
    layer, x = with_random_weights(SelfAttention(2), (2, 5, 8)), tokens(2, 5, 8)
    before, bias = values(layer(x)), values(layer.qkv.bias)
    for part, changes in {0: True, 8: False, 16: True}.items():
        moved = bias.copy()
        moved[part : part + 8] += np.random.default_rng(2).normal(size=8)
        layer.qkv.bias.assign(moved.astype("float32"))
        assert np.allclose(values(layer(x)), before, rtol=1e-5, atol=1e-5) != changes


def test_block_layer_properties():
    check_layer(
        TransformerBlock,
        {"num_heads": 2, "mlp_dim": 12, "drop_path": 0.1},
        input_shape=(2, 5, 8),
        expected_output_shape=(2, 5, 8),
        expected_num_weights=12,
        expected_num_seeds=1,
    )


@pytest.mark.parametrize("num_heads", [1, 2, 3])
def test_attention_equals_plain_numpy(num_heads):
    x = tokens(2, 5, 6)
    layer = with_random_weights(SelfAttention(num_heads), x.shape)
    expected = np.stack([attention(sequence, layer) for sequence in x])
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), expected, atol=1e-4)


def test_block_equals_plain_numpy():
    x = tokens(2, 5, 6)
    block = with_random_weights(TransformerBlock(3, 10), x.shape)
    expected = []
    for sequence in x.astype("float64"):
        normed = layer_norm(sequence, block.attention_norm)
        sequence = sequence + attention(normed, block.attention)
        hidden = gelu(affine(layer_norm(sequence, block.mlp_norm), block.expand))
        expected.append(sequence + affine(hidden, block.contract))
    np.testing.assert_allclose(
        ops.convert_to_numpy(block(x)), np.stack(expected), atol=1e-4
    )


def test_drop_path_drops_both_branches():
    """At a rate near 1 nearly every sample passes unchanged, in training only."""
    x = tokens(16, 3, 4)
    block = with_random_weights(TransformerBlock(2, 8, drop_path=0.99), x.shape)
    trained = ops.convert_to_numpy(block(x, training=True))
    assert np.mean(np.all(trained == x, axis=(1, 2))) > 0.5
    assert not np.any(np.all(ops.convert_to_numpy(block(x)) == x, axis=(1, 2)))


@pytest.mark.large_on_jax
def test_the_two_branches_are_dropped_independently():
    x = tokens(400, 1, 2)
    block = with_random_weights(TransformerBlock(1, 2, drop_path=0.5), x.shape)
    out = ops.convert_to_numpy(block(x, training=True))
    unchanged = np.mean(np.all(out == x, axis=(1, 2)))
    # 1/4 rather than 1/2; a deviation of 400 draws is 0.022.
    assert abs(unchanged - 0.25) < 0.09


def test_drop_path_can_be_set():
    block = TransformerBlock(2, 8)
    block.drop_path = 0.3
    assert block.drop_path == block.get_config()["drop_path"] == 0.3
    with pytest.raises(ValueError, match=r"\[0, 1\).*received 1"):
        block.drop_path = 1


@pytest.mark.parametrize("num_heads", [0, 5, 16])
def test_heads_that_do_not_divide_the_width(num_heads):
    message = rf"num_heads={num_heads} for hidden_dim=8.*\[1, 2, 4, 8\]"
    with pytest.raises(ValueError, match=message):
        check_heads(8, num_heads)
    with pytest.raises(ValueError, match=message):
        TransformerBlock(num_heads, 16).build((None, 5, 8))


@pytest.mark.parametrize("drop_path", [0.0, 0.5])
def test_a_block_that_is_computed_again_has_the_same_gradients(drop_path):
    """Also where branches are dropped: what was drawn is not drawn again."""
    x = tokens(6, 5, 8)
    found = []
    for rematerialise in (False, True):
        keras.utils.set_random_seed(0)
        block = with_random_weights(
            TransformerBlock(2, 12, drop_path, rematerialise=rematerialise), x.shape
        )
        block.branch_drop.seed_generator.state.assign([3, 4])
        found.append(training_gradients(block, x))
        state = values(block.branch_drop.seed_generator.state)
        assert state[1] == 4 + (2 if drop_path else 0)
    assert len(found[0]) == 13
    for kept, again in zip(*found, strict=True):
        assert np.abs(kept).max() > 0
        np.testing.assert_allclose(again, kept, rtol=1e-5, atol=1e-5)


def training_gradients(block, x):
    """Gradients of a loss in training, with respect to the weights and the input."""

    def loss(x):
        return ops.sum(ops.square(block(x, training=True)))

    weights = block.trainable_variables
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        @tf.function
        def differentiate(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                total = loss(x)
            return tape.gradient(total, [x, *(weight.value for weight in weights)])

        return [g.numpy() for g in differentiate(tf.constant(x))]
    if backend == "torch":
        pytest.skip("Keras' torch backend has no rematerialisation")
    import jax

    generator = block.branch_drop.seed_generator.state
    seed = generator.value

    def stateless(x, *values):
        mapping = [*zip(weights, values), (generator, seed)]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            total = loss(x)
        return total, scope.get_current_value(generator)

    arguments = (x, *(weight.value for weight in weights))
    numbers = range(len(arguments))
    gradients, new = jax.jit(jax.grad(stateless, numbers, has_aux=True))(*arguments)
    generator.assign(new)
    return [np.asarray(g) for g in gradients]
