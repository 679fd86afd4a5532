"""The dense layer of the vision transformer and its initial weights."""

import math

import keras
from keras import ops

KERNEL_STD = 0.02


def kernel_initializer(kernel_std=KERNEL_STD):
    """Initial kernels: truncated normal of a deviation, or scaled to the width.

    0.02 suits the widths of the paper. In a network a tenth as wide, branches
    and heads then begin so weak that one step of Adam turns their outputs over;
    the pseudo-label losses collapse and nothing is learned in a short run. With
    `kernel_std=None` the deviation is `1 / sqrt(fan_in)`: outputs keep the scale
    of the inputs at any width.

    Args:
        kernel_std: Deviation before truncation at twice its size, or None for
            `1 / sqrt(fan_in)`.

    Raises:
        ValueError: If the deviation is no finite number above 0.
    """
    if kernel_std is not None and not 0 < kernel_std < math.inf:
        raise ValueError(
            "kernel_std is a finite number above 0, or None to scale the kernels to "
            f"the width; received {kernel_std!r}."
        )
    if kernel_std is None:
        return keras.initializers.VarianceScaling(1.0, "fan_in", "truncated_normal")
    return keras.initializers.TruncatedNormal(stddev=kernel_std)


def dense(units, kernel_std=KERNEL_STD, **kwargs):
    """A `keras.layers.Dense` with the vision transformer's initial weights."""
    initializer = kernel_initializer(kernel_std)
    return keras.layers.Dense(units, kernel_initializer=initializer, **kwargs)


def by_rows(layer, x):
    """A dense layer on tokens `(..., D)` as one product of two matrices.

    TensorFlow then adds the bias within the product, rather than in a pass of its own.
    """
    rows = layer(ops.reshape(x, (-1, x.shape[-1])))
    return ops.reshape(rows, (-1, *ops.shape(x)[1:-1], layer.units))
