"""Softmax attention, written for the processor that runs it."""

from keras import ops

from keras_asit.devices import on_cpu


def attention(qkv, num_heads):
    """Multi-head softmax attention from queries, keys and values side by side.

    On an accelerator it is `keras.ops.dot_product_attention`, which has fused
    kernels there. On a CPU heads come to the front first, so that all products are of
    plain matrices, and the backward pass is written out: automatic
    differentiation makes more, and slower, passes over the `N x N` weights, the bulk
    of the work.

    Args:
        qkv: `(B, N, 3 D)`: queries, keys, values, each by heads.
        num_heads: Number of heads H; divides D.

    Returns:
        `(B, N, D)`; the softmax is taken in float32.

    Example:

    >>> mixed = attention(keras.ops.zeros((2, 10, 3 * 192)), num_heads=3)

    Reference:
        Vaswani et al., Attention is All You Need, 2017.
    """
    length, width = qkv.shape[1], qkv.shape[2] // 3
    parts = ops.reshape(qkv, (-1, length, 3, num_heads, width // num_heads))
    if on_cpu():
        query, key, value = ops.unstack(ops.transpose(parts, (2, 0, 3, 1, 4)), 3)
        scale = (width // num_heads) ** -0.5
        mixed = _softmax_attention(query * scale, key, value)
        mixed = ops.transpose(mixed, (0, 2, 1, 3))
    else:
        mixed = ops.dot_product_attention(*ops.unstack(parts, 3, axis=2))
    return ops.reshape(mixed, (-1, length, width))


@ops.custom_gradient
def _softmax_attention(query, key, value):
    """`softmax(q k') v` of `(B, H, N, D / H)`, q scaled already."""

    def wide(x):
        return ops.cast(x, "float32")

    scores = wide(ops.matmul(query, ops.swapaxes(key, -1, -2)))
    weights = ops.softmax(scores, axis=-1)
    weights = ops.cast(weights, value.dtype)
    mixed = ops.matmul(weights, value)

    def gradient(*args, upstream=None):
        d_mixed = args[0] if upstream is None else upstream  # by name on torch
        d_value = ops.matmul(ops.swapaxes(weights, -1, -2), d_mixed)
        d_weights = wide(ops.matmul(d_mixed, ops.swapaxes(value, -1, -2)))
        # sum(weights d_weights) over keys is sum(mixed d_mixed) over the head's width.
        shared = ops.sum(wide(mixed) * wide(d_mixed), axis=-1, keepdims=True)
        d_scores = ops.cast(wide(weights) * (d_weights - shared), query.dtype)
        d_query = ops.matmul(d_scores, key)
        d_key = ops.matmul(ops.swapaxes(d_scores, -1, -2), query)
        return d_query, d_key, d_value

    return mixed, gradient
