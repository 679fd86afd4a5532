"""Measures of the likeliest class, where a clip has one."""

import numpy as np

from keras_asit.evaluation.arrays import check_same_length, finite


def accuracy(targets, scores):
    """The share of clips whose highest score is their class's.

    Args:
        targets: `(N,)` integers, the classes.
        scores: `(N, C)`: logits or probabilities.

    Raises:
        ValueError: If the shapes do not fit or a target is no column of the scores.

    Example:

    >>> float(accuracy([0, 1], [[0.9, 0.1], [0.8, 0.2]]))
    0.5
    """
    targets, scores = np.asarray(targets), finite("scores", scores, 2)
    check_same_length("targets", targets, "scores", scores)
    if targets.ndim != 1 or not np.isin(targets, np.arange(scores.shape[1])).all():
        raise ValueError(
            f"targets are integers (N,) from 0 to {scores.shape[1] - 1}, the columns "
            f"of the scores; received shape {targets.shape} and values "
            f"{np.unique(targets)[:5]}. Multi-hot targets go into "
            "mean_average_precision."
        )
    return np.mean(scores.argmax(axis=1) == targets)


def confusion_matrix(targets, predictions, num_classes=None):
    """How often clips of each class were taken for each class.

    `pictures.confusion_matrix` draws it.

    Args:
        targets: `(N,)` integers, the classes.
        predictions: `(N,)` integers, the classes that were predicted, or `(N, C)`
            scores, of which the highest counts.
        num_classes: C; needed where predictions are classes.

    Returns:
        `(C, C)` integers: a row for each class, a column for each prediction.

    Raises:
        ValueError: If the shapes do not fit, a score is not finite, or a target or a
            prediction is no class.

    Example:

    >>> confusion_matrix([0, 1, 1], [[0.9, 0.1], [0.8, 0.2], [0.3, 0.7]])
    array([[1, 0],
           [1, 1]])
    >>> confusion_matrix([0, 1, 1], [0, 0, 1], num_classes=2).sum()
    np.int64(3)
    """
    targets, predictions = np.asarray(targets), np.asarray(predictions)
    if predictions.ndim == 2:
        columns = finite("scores", predictions, 2).shape[1]
        num_classes = columns if num_classes is None else num_classes
        if num_classes != columns:
            raise ValueError(
                f"num_classes is the number of columns of the scores, {columns}; "
                f"received {num_classes}."
            )
        predictions = predictions.argmax(axis=1)
    if num_classes is None:
        raise ValueError(
            "Expected num_classes, as predictions of shape "
            f"{predictions.shape} do not tell it. Give it, or scores (N, C)."
        )
    check_same_length("targets", targets, "predictions", predictions)
    _check_classes("targets", targets, num_classes)
    _check_classes("predictions", predictions, num_classes)
    pairs = targets.astype("int64") * num_classes + predictions.astype("int64")
    counts = np.bincount(pairs, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


def _check_classes(name, values, num_classes):
    if values.ndim != 1 or not np.isin(values, np.arange(num_classes)).all():
        raise ValueError(
            f"{name} are integers (N,) from 0 to {num_classes - 1}; received shape "
            f"{values.shape} and values {np.unique(values)[:5]}."
        )
