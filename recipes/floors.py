"""Simple baselines that a pretrained backbone has to pass."""

import numpy as np

from keras_asit import data, evaluation, training


def accuracy(kind, train, test, frontend):
    """Accuracy, in [0, 1], of log-mel statistics of whole clips.

    Mean, deviation and mean absolute difference of each mel band over time.

    Args:
        kind: `"regression"`, logistic regression, or `"forest"`, 500 random trees.
        train: Labelled `Manifest`.
        test: `Manifest` of the held-out clips.
        frontend: A `LogMelFilterbank`.
    """
    train_x, train_y = statistics(train, frontend)
    test_x, test_y = statistics(test, frontend)
    if kind == "regression":
        return evaluation.linear_probe(
            train_x, train_y, test_x, test_y, regularisation=10.0
        )
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(500, random_state=0, n_jobs=-1)
    return float(forest.fit(train_x, train_y).score(test_x, test_y))


def statistics(manifest, frontend):
    """Log-mel statistics `(N, 3 F)` and classes `(N,)` of what can be read."""
    plain = type(frontend).from_config({**frontend.get_config(), "num_frames": None})
    reader = data.ClipReader(manifest, frontend.sample_rate, cache=True)
    readable = reader.readable()
    rows = []
    for index in readable:
        wave = reader.read(index)
        wave = np.pad(wave, (0, max(0, plain.samples(4) - len(wave))))
        fbank = training.clip_log_mel(wave, plain)
        rows.append(evaluation.log_mel_statistics(fbank[None])[0])
    return np.stack(rows), manifest.targets()[readable]
