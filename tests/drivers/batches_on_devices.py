"""What `fit` and `evaluate` say of batches, called outside of the strategy's scope.

    python tests/drivers/batches_on_devices.py KIND FOLDER OUT NUMBER

The kinds are those of `many_devices.py`. OUT-NUMBER.json gets what became of each case:
the message of a refusal and the steps that were taken, or the logs.
"""

import json
import sys
from pathlib import Path

import numpy as np


def features(clips):
    return np.zeros((clips, 32, 32), "float32"), np.arange(clips) % 3


def generator(*sizes):
    return (features(size) for size in sizes)


def batches(*sizes):
    import keras

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return len(sizes)

        def __getitem__(self, index):
            return features(sizes[index])

    return Batches()


def models():
    """A classifier and a pretrainer, both compiled."""
    from keras_asit.models import ASiTBackbone, ASiTClassifier, ASiTPretrainer

    def backbone():
        return ASiTBackbone(
            (32, 32), hidden_dim=16, num_layers=1, num_heads=2, mlp_dim=16
        )

    classifier = ASiTClassifier(backbone(), num_classes=3)
    pretrainer = ASiTPretrainer(
        backbone(),
        local_dim=8,
        global_dim=8,
        projection_hidden_dims=(8,),
        reconstruction_hidden_dims=(8,),
    )
    for model in (classifier, pretrainer):
        model.compile("sgd")
    return classifier, pretrainer


def cases(classifier, pretrainer, devices, manifest):
    """Functions by name; sizes are in numbers of devices."""
    from keras_asit.data import labelled_dataset, pretraining_dataset

    options = {"sample_rate": 8000, "features": "waveform"}
    views = np.zeros((devices, 2, 32, 32), "float32")
    uneven = devices + 1

    def fit(*data, **arguments):
        return classifier.fit(*data, verbose=0, **arguments).history

    def evaluate(*data, **arguments):
        return classifier.evaluate(*data, verbose=0, return_dict=True, **arguments)

    def of_files(size, **arguments):
        return pretraining_dataset(
            manifest, size, crop_seconds=0.2, **options, **arguments
        )

    return {
        "refused array": lambda: fit(*features(4 * devices), batch_size=uneven),
        "refused last batch": lambda: evaluate(*features(33)),
        "refused generator": lambda: fit(generator(uneven), steps_per_epoch=1),
        "refused py dataset": lambda: fit(batches(devices, uneven)),
        "refused views": lambda: pretrainer.fit(views[1:], verbose=0),
        "refused views of evaluate": lambda: pretrainer.evaluate(views[1:]),
        "refused dataset": lambda: pretrainer.fit(of_files(uneven), verbose=0),
        "refused end of dataset": lambda: evaluate(
            labelled_dataset(manifest, devices, seconds=0.2, pad_last=False, **options)
        ),
        # The sizes of the batches differ.
        "taken fit": lambda: fit(*features(3 * devices), batch_size=2 * devices),
        "taken evaluate": lambda: evaluate(
            *features(3 * devices), batch_size=2 * devices
        ),
        "taken generator": lambda: fit(generator(devices, devices), steps_per_epoch=2),
    }


def main(kind, folder, out, number):
    from drivers import many_devices
    from keras_asit.data import read_manifest, synthetic

    strategy = many_devices.strategy(kind)
    devices = many_devices.DEVICES[kind]
    path = synthetic.write_dataset(
        folder, splits={"train": 1}, seconds=0.25, sample_rate=8000
    )
    manifest = read_manifest(path).take(range(2 * devices + 1))
    with many_devices.scope(strategy):
        classifier, pretrainer = models()
    found = {}
    if strategy:
        found["logs"] = logs_of_a_local_strategy()
    for name, run in cases(classifier, pretrainer, devices, manifest).items():
        try:
            found[name] = {k: float(np.ravel(v)[-1]) for k, v in run().items()}
        except ValueError as error:
            steps = [_steps(model) for model in (classifier, pretrainer)]
            found[name] = [str(error), *steps]
    Path(f"{out}-{number}.json").write_text(json.dumps(found))


def _steps(model):
    return int(np.asarray(model.optimizer.iterations))


def logs_of_a_local_strategy():
    """Rank of logs under a strategy for many workers that has one, with two devices."""
    import tensorflow as tf

    from keras_asit import replicas

    local = tf.distribute.MultiWorkerMirroredStrategy._from_local_devices(
        ("CPU:0", "CPU:1")
    )
    logs = local.run(lambda: replicas.as_logs({"loss": tf.constant(1.0)}))
    results = local.experimental_local_results(logs["loss"])
    return {"replicas": len(results), "rank": int(tf.rank(results[0]))}


if __name__ == "__main__":
    tests = Path(__file__).resolve().parent.parent
    sys.path[:0] = [str(tests), str(tests.parent)]
    main(*sys.argv[1:])
