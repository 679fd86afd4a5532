"""Three training steps on one device or on two logical CPU devices.

    python tests/drivers/two_devices.py one|two OUT.npz

On TensorFlow two devices are a `MirroredStrategy`, on JAX a `DataParallel`. A process
of its own for each: collectives of different sizes do not mix in one process.
"""

import os
import sys
from pathlib import Path

import numpy as np

STEPS = 3
CLIPS = 8


def views():
    """A global batch a step; the second half has far larger masks than the first."""
    from tiny_asit import clean_views

    return [clean_views(CLIPS, seed=step) for step in range(STEPS)]


def two_logical_devices():
    """A scope in which models are made for two devices."""
    if os.environ["KERAS_BACKEND"] == "jax":
        import jax
        import keras

        assert len(jax.devices()) == 2, jax.devices()
        keras.distribution.set_distribution(keras.distribution.DataParallel())
        return None
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def fit(model):
    """One step an epoch, so that every step's losses are logged."""
    import keras

    from drivers.one_step import scheduled_optimizer
    from keras_asit.callbacks import EMATeacher

    compiled = "auto" if keras.backend.backend() == "jax" else False
    model.compile(optimizer=scheduled_optimizer(), jit_compile=compiled)
    callback = EMATeacher(0.9)
    logs = []
    for step, batch in enumerate(views()):
        history = model.fit(
            batch,
            batch_size=CLIPS,
            initial_epoch=step,
            epochs=step + 1,
            shuffle=False,
            verbose=0,
            callbacks=[callback],
        )
        logs.append({name: value[0] for name, value in history.history.items()})
    return logs


def copies(variable):
    """What each device holds of a variable, as numpy arrays."""
    value = variable.value
    if hasattr(value, "addressable_shards"):
        return [np.asarray(shard.data) for shard in value.addressable_shards]
    return [component.numpy() for component in getattr(value, "values", (value,))]


def draws_of_replicas(strategy):
    """What two replicas draw: the mask of the corruption, and plain random numbers."""
    import keras

    from keras_asit.layers import GMMLCorruption

    clean = np.random.default_rng(0).normal(size=(4, 48, 32)).astype("float32")
    with strategy.scope():
        corruption = GMMLCorruption(seed=3)
        corruption.build(clean.shape)
        plain = keras.random.SeedGenerator(3)

    def step():
        _, mask = corruption(clean)
        return mask, keras.random.uniform((4,), seed=plain)

    import tensorflow as tf

    mask, numbers = strategy.run(tf.function(step))
    return {
        "masks": np.stack([x.numpy() for x in mask.values]),
        "plain": np.stack([x.numpy() for x in numbers.values]),
    }


def record(devices):
    from drivers.one_step import deterministic_pretrainer

    strategy = two_logical_devices() if devices == "two" else None
    if strategy is not None:
        with strategy.scope():
            model = deterministic_pretrainer()
            logs = fit(model)
        found = draws_of_replicas(strategy)
    else:
        model = deterministic_pretrainer()
        logs, found = fit(model), {}
    found["paths"] = np.array([variable.path for variable in model.weights])
    for step, values in enumerate(logs):
        found.update({f"{name}_{step}": value for name, value in values.items()})
    for i, variable in enumerate(model.weights):
        held = copies(variable)
        assert len(held) == (2 if devices == "two" else 1), (variable.path, len(held))
        found[f"weight_{i}"] = np.stack(held)
    return found


if __name__ == "__main__":
    tests = Path(__file__).resolve().parent.parent
    sys.path[:0] = [str(tests), str(tests.parent)]
    np.savez(sys.argv[2], **record(sys.argv[1]))
