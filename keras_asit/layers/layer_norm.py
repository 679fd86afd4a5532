"""Layer normalisation, with a gradient that keeps one array of the input's size."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_asit")
class LayerNorm(keras.layers.LayerNormalization):
    """`keras.layers.LayerNormalization` over the last axis, at a lower price.

    Automatic differentiation of Keras' form keeps four arrays of the input's size for
    each of a transformer's normalisations, and makes twice the passes over them.

    Args:
        epsilon: Added to the variance; 1e-6 as in the vision transformer.
        **kwargs: As of a `keras.layers.Layer`.

    Input shape:
        `(..., D)`. Half precisions are computed in float32.

    Output shape:
        The input's.

    Example:

    >>> normalised = LayerNorm()(keras.ops.ones((2, 297, 192)))

    Reference:
        Ba et al., Layer Normalization, 2016.
    """

    def __init__(self, epsilon=1e-6, **kwargs):
        super().__init__(epsilon=epsilon, **kwargs)

    def call(self, inputs):
        out = standardised(ops.cast(inputs, "float32"), self.epsilon)
        out = out * ops.cast(self.gamma, "float32")
        return ops.cast(out + ops.cast(self.beta, "float32"), self.compute_dtype)


def standardised(x, epsilon):
    """Mean 0 and variance 1 along the last axis."""

    @ops.custom_gradient
    def standardise(x):
        centred = x - ops.mean(x, axis=-1, keepdims=True)
        variance = ops.mean(ops.square(centred), axis=-1, keepdims=True)
        scale = ops.rsqrt(variance + epsilon)
        out = centred * scale

        def gradient(*args, upstream=None):
            dy = args[0] if upstream is None else upstream  # by name on torch
            along = ops.mean(dy * out, axis=-1, keepdims=True)
            return (dy - ops.mean(dy, axis=-1, keepdims=True) - out * along) * scale

        return out, gradient

    return standardise(x)
