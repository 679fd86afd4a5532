"""Equal blocks one after another, as one loop where a compiler reads them."""

import keras
from keras import ops


def can_loop(blocks, tokens):
    """Whether `loop_over` applies: while JAX traces, over blocks that are alike.

    Eagerly a loop would be compiled anew at every call; on TensorFlow its gradient is
    slow. Blocks that were changed one by one, by quantisation for example, differ.
    """
    if keras.backend.backend() != "jax" or len(blocks) < 2:
        return False
    import jax

    def shapes(block):
        return ((tuple(v.shape), v.dtype) for v in block.variables)

    kinds = {
        (block.compute_dtype, block.rematerialise, *shapes(block)) for block in blocks
    }
    return isinstance(tokens, jax.core.Tracer) and len(kinds) == 1


def loop_over(blocks, tokens, training=False):
    """Sends tokens through the blocks, which are traced and compiled once.

    Written out, twelve blocks take twelve times as long to compile, and XLA then
    computes the gradients' sums along the residual stream again for every block. The
    weights stay those of the blocks; the loop runs over a stacked copy.

    Args:
        blocks: Built `TransformerBlock`s that are alike but for their `drop_path`.
        tokens: `(B, N, D)`, a traced tensor.
        training: Whether branches are dropped at random.

    Returns:
        `(B, N, D)`.
    """
    first = blocks[0]
    weights = [block.weights for block in blocks]
    seeds = [_seeds(block) for block in blocks]
    rates = [block.drop_path for block in blocks]

    def step(tokens, values):
        weights_now, seeds_now, rate = values
        mapping = [*zip(weights[0], weights_now), *zip(seeds[0], seeds_now)]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            tokens = first(
                tokens, training=training, drop_path=rate if any(rates) else None
            )
        return tokens, [scope.get_current_value(seed) for seed in seeds[0]]

    stacked = (_stacked(weights), _stacked(seeds), ops.convert_to_tensor(rates))
    tokens, new_seeds = ops.scan(step, tokens, stacked)
    for number, states in enumerate(seeds):
        for state, new in zip(states, new_seeds, strict=True):
            state.assign(new[number])
    return tokens


def _seeds(block):
    """The states of a block's random generators."""
    weights = {id(weight) for weight in block.weights}
    return [state for state in block.variables if id(state) not in weights]


def _stacked(variables):
    """One tensor for each variable of a block, blocks along the first axis."""
    return [ops.stack([v.value for v in same]) for same in zip(*variables, strict=True)]
