"""What a layer must know of the machine it runs on."""

import functools

import keras


@functools.cache
def on_cpu():
    """Whether the backend computes on a CPU: it sees no GPU or TPU.

    Some expressions are fast on a CPU and slow elsewhere, or the other way round.
    """
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return jax.default_backend() == "cpu"
    if backend == "tensorflow":
        import tensorflow as tf

        kinds = {device.device_type for device in tf.config.list_physical_devices()}
        return not kinds & {"GPU", "TPU"}
    import torch

    return not torch.cuda.is_available()
