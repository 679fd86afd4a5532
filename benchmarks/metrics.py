"""Time of AudioSet's measures beside scikit-learn's, and what bins lose.

    KERAS_BACKEND=jax python -m benchmarks.metrics
    KERAS_BACKEND=jax python -m benchmarks.metrics --clips 2000 --classes 50

Scores are those of clips that have each class by chance, with about as many positives
as AudioSet's classes have. The last column is the value of the metric of
`keras_asit.metrics`, which sees the same scores in batches.
"""

import argparse
import os
import time

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np
from sklearn import metrics as sklearn_metrics

from benchmarks import machine
from benchmarks.filterbank import about
from keras_asit import evaluation
from keras_asit.metrics import MeanAUC, MeanAveragePrecision

BATCH = 1000


def clips(number, classes, seed=0):
    """Targets, and logits around -6, higher where a clip has the class."""
    rng = np.random.default_rng(seed)
    share = np.exp(rng.normal(-5.5, 1.2, classes)).clip(1e-3, 0.4)
    targets = (rng.random((number, classes)) < share).astype("int8")
    gain = 4 * rng.uniform(0.5, 1.2, classes)
    logits = 1.5 * rng.normal(size=(number, classes)) - 6 + gain * targets
    return targets, logits.astype("float32")


def timed(function, *arguments, **options):
    """What a function returns, and its seconds."""
    start = time.perf_counter()
    value = function(*arguments, **options)
    return value, time.perf_counter() - start


def streamed(metric, targets, logits):
    for start in range(0, len(targets), BATCH):
        metric.update_state(
            targets[start : start + BATCH], logits[start : start + BATCH]
        )
    return float(metric.result())


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=20000)
    parser.add_argument("--classes", type=int, default=527)
    options = parser.parse_args(arguments)
    targets, logits = clips(options.clips, options.classes)
    mixed = targets.any(axis=0) & ~targets.all(axis=0)
    targets, logits = targets[:, mixed], logits[:, mixed]
    measures = {
        "mAP": (
            evaluation.mean_average_precision,
            sklearn_metrics.average_precision_score,
            MeanAveragePrecision,
        ),
        "mean AUC": (
            evaluation.mean_auc,
            sklearn_metrics.roc_auc_score,
            MeanAUC,
        ),
    }
    print(about(machine.description()))
    print(f"{options.clips} clips, {mixed.sum()} classes with positives and negatives")
    for name, (ours, theirs, metric) in measures.items():
        value, seconds = timed(ours, targets, logits)
        expected, their_seconds = timed(theirs, targets, logits, average="macro")
        in_bins = streamed(metric(logits.shape[1]), targets, logits)
        print(
            f"{name:8s} {value:.6f}  {seconds:6.2f} s  scikit-learn "
            f"{their_seconds:6.2f} s, differs by {abs(value - expected):.0e}  "
            f"in bins {in_bins:.6f}"
        )


if __name__ == "__main__":
    main()
