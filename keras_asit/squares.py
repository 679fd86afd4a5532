"""Squares of Euclidean norms, which several parts of a step need of all variables."""

import keras
from keras import ops


def sums_of_squares(tensors):
    """`sum(x^2)` of each tensor, in float32.

    Args:
        tensors: List of N tensors of any shapes.

    Returns:
        `(N,)`.

    Example:

    >>> squares = sums_of_squares([keras.ops.array([3.0, 4.0]), keras.ops.ones((2, 2))])
    >>> keras.ops.convert_to_numpy(squares).tolist()
    [25.0, 4.0]
    """
    tensors = [ops.cast(x, "float32") for x in tensors]
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # One operation for each, and no array of squares.
        return 2.0 * tf.stack([tf.nn.l2_loss(x) for x in tensors])
    return ops.stack([ops.sum(ops.square(x)) for x in tensors])
