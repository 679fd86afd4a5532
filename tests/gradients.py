"""Gradients of a scalar function of arrays, on the active backend."""

import keras
import numpy as np
from keras import ops


def gradients_of(function, *arrays):
    """Those of `function(*arrays)`, numpy arrays of the shapes of the inputs."""
    tensors = [ops.convert_to_tensor(array) for array in arrays]
    if keras.backend.backend() == "jax":
        import jax

        found = jax.grad(function, argnums=tuple(range(len(tensors))))(*tensors)
    else:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(tensors)
            out = function(*tensors)
        found = tape.gradient(out, tensors)
    return [np.array(ops.convert_to_numpy(gradient)) for gradient in found]
