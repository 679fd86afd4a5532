"""What the metrics say of clips that many logical CPU devices share.

    python tests/drivers/metrics_on_devices.py KIND OUT NUMBER

The kinds are those of `many_devices.py`. The model's outputs are its inputs, so that
scores are known. What process NUMBER saw is written to OUT-NUMBER.npz.
"""

import sys
from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parent.parent
CLIPS, PADDING, BATCH, CLASSES = 32, 5, 8, 4


def clips():
    """Scores, targets and weights; the halves of each batch differ, the end is padding.

    A mean of what devices make of their own clips would be wrong.
    """
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(CLIPS, CLASSES)).astype("float32")
    is_second = np.arange(CLIPS) % BATCH >= BATCH // 2
    targets = rng.random((CLIPS, CLASSES)) < np.where(is_second, 0.7, 0.2)[:, None]
    scores += np.where(is_second, -2.0, 1.0)[:, None] + targets
    targets[:, -1] = False
    weights = (np.arange(CLIPS) < CLIPS - PADDING).astype("float32")
    scores[CLIPS - PADDING :] = 30.0
    return scores.astype("float32"), targets.astype("float32"), weights


def metrics():
    import keras

    from keras_asit.losses import class_accuracy
    from keras_asit.metrics import DPrime, MeanAUC, MeanAveragePrecision

    ranking = [kind(CLASSES) for kind in (MeanAveragePrecision, MeanAUC, DPrime)]
    return [*ranking, keras.metrics.MeanMetricWrapper(class_accuracy, name="accuracy")]


def model():
    import keras

    from keras_asit import replicas
    from keras_asit.models.on_devices import OnDevices

    class Scores(OnDevices, keras.Model):
        """Gives its inputs back, with logs like the classifier's."""

        def __init__(self):
            super().__init__()
            self.one = self.add_weight(shape=(), initializer="ones", name="one")

        def call(self, inputs):
            return inputs * self.one

        def get_metrics_result(self):
            return replicas.as_logs(super().get_metrics_result())

    return Scores()


def watched():
    """Logs at the end of the last batch and of the epoch, and those of `evaluate`."""
    import keras

    scores = model()
    jit_compile = "auto" if keras.backend.backend() == "jax" else False
    scores.compile(
        optimizer=keras.optimizers.SGD(0.0),
        loss="mse",
        weighted_metrics=metrics(),
        jit_compile=jit_compile,
    )
    seen = {}
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda _, logs: seen.update(batch=dict(logs)),
        on_epoch_end=lambda _, logs: seen.update(epoch=dict(logs)),
    )
    data = dict(zip(("x", "y", "sample_weight"), (_of_process(x) for x in clips())))
    size = len(data["x"]) * BATCH // CLIPS
    options = {"batch_size": size, "verbose": 0}
    scores.fit(**data, **options, epochs=2, shuffle=False, callbacks=[watch])
    seen["evaluate"] = scores.evaluate(**data, **options, return_dict=True)
    return {
        f"{when}/{name}": np.mean(value)
        for when, logs in seen.items()
        for name, value in logs.items()
    }


def _of_process(values):
    """Its part of every batch on JAX, elsewhere all of it."""
    from keras_asit.distribution import share_of_process

    part, parts = share_of_process()
    batches = values.reshape(-1, BATCH, *values.shape[1:])
    return np.concatenate([np.split(batch, parts)[part] for batch in batches])


if __name__ == "__main__":
    sys.path[:0] = [str(TESTS), str(TESTS.parent)]
    from drivers import many_devices

    kind, out, number = sys.argv[1:]
    strategy = many_devices.strategy(kind)
    with many_devices.scope(strategy):
        found = watched()
    np.savez(f"{out}-{number}.npz", **found)
