"""The exact GELU, with gradients that keep nothing but its input."""

import math

import keras
from keras import ops

from keras_asit.layers.dense import by_rows


def gelu(x):
    """`x Phi(x)`, the exact GELU of the vision transformer.

    Its derivative is `Phi(x) + x phi(x)`, which the backward pass computes from `x`.
    Automatic differentiation keeps several arrays of the MLP's hidden width
    instead, the largest of a transformer, and makes more passes over them.

    Args:
        x: Any shape. Half precisions are computed in float32.

    Returns:
        The input's shape and dtype.

    Example:

    >>> hidden = gelu(keras.ops.ones((2, 297, 768)))

    Reference:
        Hendrycks and Gimpel, Gaussian Error Linear Units, 2016.
    """
    return _gelu(x)


@ops.custom_gradient
def _gelu(x):
    def gradient(*args, upstream=None):
        dy = args[0] if upstream is None else upstream  # by name on torch
        _, slope = _value_and_slope(x)
        return ops.cast(ops.cast(dy, "float32") * slope, x.dtype)

    wide = ops.cast(x, "float32")
    return ops.cast(wide * _probability_below(wide), x.dtype), gradient


def dense_of_gelu(layer, x):
    """`layer(gelu(x))`, that keeps only `x` for the backward pass.

    The dense layer's own gradient would keep `gelu(x)` too, as large an array.

    Args:
        layer: A built `keras.layers.Dense` without activation.
        x: `(..., D)`.

    Returns:
        `(..., units)`.

    Example:

    >>> layer = keras.layers.Dense(8)
    >>> layer.build((2, 297, 32))
    >>> tuple(dense_of_gelu(layer, keras.ops.ones((2, 297, 32))).shape)
    (2, 297, 8)
    """
    if layer.quantization_mode:
        return by_rows(layer, gelu(x))
    kernel, bias = ops.cast(layer.kernel, x.dtype), ops.cast(layer.bias, x.dtype)
    rows = _dense_of_gelu(ops.reshape(x, (-1, x.shape[-1])), kernel, bias)
    return ops.reshape(rows, (-1, *ops.shape(x)[1:-1], layer.units))


@ops.custom_gradient
def _dense_of_gelu(x, kernel, bias):
    """Of rows `(N, D)`."""

    def gradient(*args, upstream=None):
        dy = args[0] if upstream is None else upstream  # by name on torch
        value, slope = _value_and_slope(x)
        value = ops.cast(value, x.dtype)
        d_value = ops.cast(ops.matmul(dy, ops.transpose(kernel)), "float32")
        return (
            ops.cast(d_value * slope, x.dtype),
            ops.matmul(ops.transpose(value), dy),
            ops.cast(ops.sum(ops.cast(dy, "float32"), axis=0), bias.dtype),
        )

    wide = ops.cast(x, "float32")
    value = ops.cast(wide * _probability_below(wide), x.dtype)
    return ops.add(ops.matmul(value, kernel), bias), gradient


def _value_and_slope(x):
    """`x Phi(x)` and its derivative, in float32."""
    x = ops.cast(x, "float32")
    below = _probability_below(x)
    density = ops.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    return x * below, below + x * density


def _probability_below(x):
    """`Phi(x)`, the normal distribution's integral up to `x`."""
    if keras.backend.backend() == "jax":
        from jax import lax

        # JAX exports erf as an operation that TensorFlow's SavedModel cannot read.
        return 0.5 * lax.erfc(x * -math.sqrt(0.5))
    return 0.5 + 0.5 * ops.erf(x * math.sqrt(0.5))
