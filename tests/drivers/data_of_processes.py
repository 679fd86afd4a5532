"""Which clips each of several processes trains on, and what a classifier logs there.

    python tests/drivers/data_of_processes.py KIND FOLDER OUT NUMBER

The kinds are those of `many_devices.py`. OUT-NUMBER.json gets the mean of every view
that this process was given, batch by batch, and the logs of `fit` and `evaluate`.
"""

import json
import sys
from pathlib import Path

import numpy as np

BATCH, EPOCHS = 4, 2
OPTIONS = {"sample_rate": 8000, "features": "waveform"}


def views(manifest):
    from keras_asit.data import pretraining_dataset

    return pretraining_dataset(manifest, BATCH, crop_seconds=0.2, **OPTIONS)


def means(batches):
    """Of the views of each clip, batch by batch."""
    return [np.mean(batch, axis=(1, 2)).round(6).tolist() for batch in batches]


def of_process(dataset, strategy):
    """The batches of an epoch, as this process gets them."""
    if strategy is None:
        return [np.asarray(batch) for batch in dataset]
    shared_out = strategy.experimental_distribute_dataset(dataset)
    return [
        np.concatenate([x.numpy() for x in strategy.experimental_local_results(batch)])
        for batch in shared_out
    ]


def logs(manifest, strategy):
    """Of a small classifier."""
    from drivers import many_devices
    from keras_asit.audio import LogMelFilterbank
    from keras_asit.data import labelled_dataset
    from keras_asit.models import ASiTBackbone, ASiTClassifier

    frontend = LogMelFilterbank(8000, num_mel_bins=16, num_frames=16)
    with many_devices.scope(strategy):
        backbone = ASiTBackbone(
            (16, 16),
            hidden_dim=16,
            num_layers=1,
            num_heads=2,
            mlp_dim=16,
            frontend=frontend,
        )
        model = ASiTClassifier(backbone, num_classes=12)
        model.compile("sgd")
        rng = np.random.default_rng(0)  # the strategy draws numbers of Keras' too
        for variable in model.weights:
            variable.assign(0.1 * rng.normal(size=variable.shape).astype("float32"))
        options = {"seconds": 0.2, "sample_rate": 8000, "frontend": frontend}
        train = labelled_dataset(manifest, BATCH, training=True, **options)
        test = labelled_dataset(manifest, 8, **options)  # its last batch is filled up
    found = model.fit(train, epochs=EPOCHS, verbose=0).history
    evaluated = model.evaluate(test, verbose=0, return_dict=True)
    found |= {f"test_{name}": [value] for name, value in evaluated.items()}
    return {name: [float(value) for value in values] for name, values in found.items()}


def main(kind, manifest, out, number):
    from drivers import many_devices

    strategy = None if kind == "one" else many_devices.strategy(kind)
    dataset = views(manifest)
    batches = [means(of_process(dataset, strategy)) for _ in range(EPOCHS)]
    flat = [batch for epoch in batches for batch in epoch]
    found = {"means": flat, "logs": logs(manifest, strategy)}
    Path(f"{out}-{number}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    tests = Path(__file__).resolve().parent.parent
    sys.path[:0] = [str(tests), str(tests.parent)]
    main(*sys.argv[1:])
