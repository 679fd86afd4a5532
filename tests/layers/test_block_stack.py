import keras
import numpy as np
import pytest
from keras import ops

from keras_asit.layers import TransformerBlock
from keras_asit.layers.block_stack import can_loop, loop_over

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="the loop is taken on JAX alone"
)
TOKENS = np.random.default_rng(0).normal(size=(6, 3, 8)).astype("float32")


@pytest.fixture
def blocks():
    """Three blocks with weights of their own; the last one drops branches."""
    stack = [TransformerBlock(2, 12, rate) for rate in (0.0, 0.0, 0.9)]
    draws = np.random.default_rng(1)
    for block in stack:
        block.build(TOKENS.shape)
        block.set_weights([draws.normal(size=w.shape) for w in block.weights])
    return stack


def states(blocks):
    return [np.array(block.branch_drop.seed_generator.state) for block in blocks]


def traced(function):
    """The function, traced and compiled."""
    import jax

    return jax.jit(function)(ops.convert_to_tensor(TOKENS))


def test_equals_one_block_after_another(blocks):
    expected = TOKENS
    for block in blocks:
        expected = block(expected)
    out = loop_over(blocks, ops.convert_to_tensor(TOKENS))
    np.testing.assert_allclose(
        ops.convert_to_numpy(out), ops.convert_to_numpy(expected), atol=1e-5
    )


def test_rates_are_each_blocks_own_and_generators_move_on(blocks):
    before = states(blocks)
    out = loop_over(blocks, ops.convert_to_tensor(TOKENS), training=True)
    undropped = loop_over(blocks[:2], ops.convert_to_tensor(TOKENS), training=True)
    same = np.all(
        np.isclose(ops.convert_to_numpy(out), ops.convert_to_numpy(undropped)),
        axis=(1, 2),
    )
    assert np.sum(same) >= 2, "9 of 10 branches of the last block are dropped"
    after = states(blocks)
    assert all(not np.array_equal(a, b) for a, b in zip(before, after))


def test_only_traced_tokens_and_equal_blocks_loop(blocks):
    assert not can_loop(blocks, ops.convert_to_tensor(TOKENS)), "eager"
    asked = []

    def ask(tokens):
        asked.append(can_loop(blocks, tokens))
        asked.append(can_loop(blocks[:1], tokens))
        wider = TransformerBlock(2, 16)
        wider.build(TOKENS.shape)
        asked.append(can_loop([blocks[0], wider], tokens))
        return tokens

    with keras.StatelessScope():
        traced(ask)
    assert asked == [True, False, False]
