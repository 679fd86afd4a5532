"""What `fit` and `evaluate` make of the datasets on two logical CPU devices.

    python tests/drivers/data_on_two_devices.py MANIFEST OUT.json

A `MirroredStrategy` on TensorFlow, a `DataParallel` on JAX, in a process of its own.
"""

import json
import sys
from pathlib import Path

import numpy as np

OPTIONS = {"sample_rate": 8000, "seconds": 0.25, "features": "waveform"}
BATCH, PASSED = 2, 3  # clips of a batch; batches before the position restored


def value(waves):
    """What tells one batch from another: the mean of the first samples."""
    return waves[:, :20].mean()


def model():
    """Its loss is `value`, and no step changes it."""
    import keras
    from keras import ops

    class First(keras.Layer):
        def build(self, shape):
            self.scale = self.add_weight(shape=(1,), initializer="ones")

        def call(self, waves):
            return self.scale * ops.mean(waves[:, :20], axis=-1, keepdims=True)

    first = keras.Sequential([keras.Input((2000,)), First()])
    first.compile(keras.optimizers.SGD(0.0), loss=lambda _, output: output[:, 0])
    return first


def trained_on(dataset, epochs):
    """`value` of every batch that `fit` trains on, in order."""
    import keras

    totals, found = [0.0], []

    def after(step, logs):  # the logs are means since the epoch began
        if step == 0:
            totals[:] = [0.0]
        totals.append((step + 1) * float(logs["loss"]))
        found.append(totals[-1] - totals[-2])

    record = keras.callbacks.LambdaCallback(on_train_batch_end=after)
    model().fit(dataset, epochs=epochs, verbose=0, callbacks=[record])
    return found


def main(manifest, out):
    import keras

    from drivers import many_devices
    from keras_asit.data import labelled_dataset

    on_jax = keras.backend.backend() == "jax"
    strategy = many_devices.strategy("data_parallel" if on_jax else "mirrored")
    with many_devices.scope(strategy):
        options = {**OPTIONS, "training": True}
        from_the_start = trained_on(labelled_dataset(manifest, BATCH, **options), 2)
        restored = labelled_dataset(manifest, BATCH, **options)
        restored.restore(restored.state(PASSED))
        restored = trained_on(restored, 1)
        padded = labelled_dataset(manifest, 6, **OPTIONS)
        evaluated = model().evaluate(padded, verbose=0)
    results = {
        "from_the_start": from_the_start,
        "restored": restored,
        "slots": [len(np.asarray(batch[2])) for batch in padded],
        "evaluated": float(evaluated),
    }
    Path(out).write_text(json.dumps(results))


if __name__ == "__main__":
    tests = Path(__file__).resolve().parent.parent
    sys.path[:0] = [str(tests), str(tests.parent)]
    main(*sys.argv[1:])
