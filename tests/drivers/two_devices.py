"""Two logical CPU devices, in a process of its own."""

import os


def strategy():
    """A `MirroredStrategy` on TensorFlow; on JAX a `DataParallel` is set, and None."""
    if os.environ["KERAS_BACKEND"] == "jax":
        import keras

        keras.distribution.set_distribution(keras.distribution.DataParallel())
        return None
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
