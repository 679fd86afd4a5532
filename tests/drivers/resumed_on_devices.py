"""A run on two devices that ended early, and one that goes on with it.

    python tests/drivers/resumed_on_devices.py mirrored|data|model FOLDER
    python tests/drivers/resumed_on_devices.py data|model|workers FOLDER PORT NUMBER

`mirrored` is a `MirroredStrategy` on TensorFlow, `workers` a
`MultiWorkerMirroredStrategy`, whose TF_CONFIG is set and whose PORT is a word; `data`
and `model` are a `DataParallel` and a `ModelParallel` on JAX, on two devices of one
process, or on one device of each of two processes, which PORT joins and of which this
is the NUMBERth. It fails where the weights differ to the bit from those of a run that
did not end, or lie elsewhere.
"""

import contextlib
import os
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
STEPS, EPOCHS, UNTIL = 2, 2, 3


def distribute(kind, port=None, number=0):
    """Sets a distribution on JAX; returns what makes the scope of a model."""
    if kind == "mirrored":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
        return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope
    if kind == "workers":
        import tensorflow as tf

        return tf.distribute.MultiWorkerMirroredStrategy().scope
    if port:
        import jax

        jax.distributed.initialize(f"127.0.0.1:{port}", 2, int(number))
    import keras

    devices = keras.distribution.list_devices()
    assert len(devices) == 2, devices
    if kind == "data":
        distribution = keras.distribution.DataParallel(
            devices=devices, auto_shard_dataset=False
        )
    else:
        mesh = keras.distribution.DeviceMesh((1, 2), ["batch", "model"], devices)
        layout = keras.distribution.LayoutMap(mesh)
        layout[".*(mlp|ffn|hidden|dense).*kernel"] = (None, "model")
        layout[".*prototypes.*"] = (None, "model")
        distribution = keras.distribution.ModelParallel(
            layout_map=layout, batch_dim_name="batch", auto_shard_dataset=False
        )
    keras.distribution.set_distribution(distribution)
    return contextlib.nullcontext


def batches(kind, number, are_several):
    """Every batch is the same: an epoch that begins anew has what the first one had."""
    from tiny_asit import clean_views

    views = clean_views(4)
    if are_several and kind == "data":
        views = views[2 * int(number) : 2 * int(number) + 2]
    if kind in ("mirrored", "workers"):
        import tensorflow as tf

        return tf.data.Dataset.from_tensor_slices(views).repeat(STEPS).batch(4)
    return ((views,) for _ in range(STEPS * EPOCHS))


def run(seed, scope, data, **arguments):
    import keras

    from keras_asit.callbacks import EMATeacher
    from keras_asit.optimizers import ScheduledAdamW
    from tiny_asit import tiny_backbone, tiny_pretrainer

    keras.utils.set_random_seed(seed)
    with scope():
        model = tiny_pretrainer(backbone=tiny_backbone(num_layers=1), name="asit")
        model.compile(ScheduledAdamW(1e-2, global_clipnorm=1.0))
    callbacks = [EMATeacher(0.5), *arguments.pop("callbacks", ())]
    model.fit(
        data, steps_per_epoch=STEPS, epochs=EPOCHS, verbose=0, callbacks=callbacks,
        **arguments,
    )  # fmt: skip
    return model


def main(kind, folder, port=None, number=0):
    scope = distribute(kind, port, number)
    import numpy as np

    from keras_asit import checkpoints, processes
    from keras_asit.callbacks import Checkpoint

    is_first = int(number) == 0
    data = [batches(kind, number, port) for _ in range(2)]
    saving = [Checkpoint(folder, every=1, keep=9)]
    whole = run(0, scope, data[0], callbacks=saving)
    at_the_end = checkpoints.variables_of(whole)
    if is_first:
        for path in checkpoints.paths_in(folder):
            if checkpoints.read(path)[0]["step"] > UNTIL:
                path.unlink()
    processes.all_of(1, whole)  # all wait until the later ones are removed
    resumed = run(9, scope, data[1], resume=folder)
    found = checkpoints.variables_of(resumed)
    pairs = zip(
        found, at_the_end, *map(checkpoints.values_of, (found, at_the_end)), strict=True
    )
    sharded = 0
    for one, two, value, expected in pairs:
        np.testing.assert_array_equal(value, expected, err_msg=one.path)
        if hasattr(one.value, "sharding"):
            assert one.value.sharding == two.value.sharding, one.path
            sharded += not one.value.is_fully_replicated
        else:
            first, *others = (copy.numpy() for copy in one.value.values)
            for other in others:
                np.testing.assert_array_equal(first, other, err_msg=one.path)
    assert bool(sharded) == (kind == "model"), sharded
    print(f"{len(found)} variables, {sharded} in parts: the same")


if __name__ == "__main__":
    sys.path[:0] = [str(TESTS), str(TESTS.parent)]
    if len(sys.argv) == 3 and os.environ["KERAS_BACKEND"] == "jax":
        flags = os.environ.get("XLA_FLAGS", "")
        os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count=2"
    main(*sys.argv[1:])
