"""The exact GELU, with a gradient that keeps nothing but its input."""

import math

import keras
from keras import ops


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
        wide = ops.cast(x, "float32")
        density = ops.exp(-0.5 * wide * wide) / math.sqrt(2 * math.pi)
        slope = _probability_below(wide) + wide * density
        return ops.cast(ops.cast(dy, "float32") * slope, x.dtype)

    wide = ops.cast(x, "float32")
    return ops.cast(wide * _probability_below(wide), x.dtype), gradient


def _probability_below(x):
    """`Phi(x)`, the normal distribution's integral up to `x`."""
    if keras.backend.backend() == "jax":
        from jax import lax

        # JAX exports erf as an operation that TensorFlow's SavedModel cannot read.
        return 0.5 * lax.erfc(x * -math.sqrt(0.5))
    return 0.5 + 0.5 * ops.erf(x * math.sqrt(0.5))
