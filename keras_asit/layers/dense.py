"""The dense layer of the vision transformer."""

import keras


def dense(units, **kwargs):
    """A `keras.layers.Dense` with the vision transformer's initial weights.

    Truncated normal of deviation 0.02 for the kernel, zeros for the bias.
    """
    initializer = keras.initializers.TruncatedNormal(stddev=0.02)
    return keras.layers.Dense(units, kernel_initializer=initializer, **kwargs)
