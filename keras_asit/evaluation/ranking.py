"""Measures of the order of the scores, where a clip can have several classes.

They are those of AudioSet: average precision, area under the ROC curve, d-prime. Ties
count as in scikit-learn, which these functions equal and, for many classes, outrun.
`keras_asit.metrics` has the same for `compile`.
"""

import numpy as np

from keras_asit.evaluation.arrays import finite


def average_precision(targets, scores):
    """Average precision of each class, scikit-learn's `average_precision_score`.

    The mean over the positive clips of a class of the precision among all clips that
    score as high or higher.

    Args:
        targets: `(N, C)` of 0 and 1.
        scores: `(N, C)`: logits or probabilities, only their order counts.

    Returns:
        `(C,)`, NaN for a class without a positive clip.

    Raises:
        ValueError: If the shapes differ, the targets are not 0 or 1, or a score is
            not finite.

    Example:

    >>> targets = [[1, 0, 0], [0, 1, 0], [1, 1, 0]]
    >>> scores = [[0.9, 0.8, 0.1], [0.1, 0.2, 0.3], [0.8, 0.9, 0.2]]
    >>> average_precision(targets, scores).round(4)
    array([1.    , 0.8333,    nan])
    """
    return _of_each_class(_average_precision, targets, scores)


def mean_average_precision(targets, scores):
    """Macro mean average precision, the measure of AudioSet (paper, Section 4).

    The mean over the classes of `average_precision`. A class without a positive clip
    has none and is left out.

    Args:
        targets: `(N, C)` of 0 and 1.
        scores: `(N, C)`: logits or probabilities, only their order counts.

    Raises:
        ValueError: If the shapes differ, the targets are not 0 or 1 or hold no
            positive, or a score is not finite.

    Example:

    >>> targets = [[1, 0, 0], [0, 1, 0], [1, 1, 0]]
    >>> scores = [[0.9, 0.8, 0.1], [0.1, 0.2, 0.3], [0.8, 0.9, 0.2]]
    >>> round(mean_average_precision(targets, scores), 4)
    0.9167
    """
    of_classes = average_precision(targets, scores)
    if np.isnan(of_classes).all():
        raise ValueError(
            "Expected a positive for at least one class; received none in targets "
            f"of shape {np.shape(targets)}. Check that the labels were read."
        )
    return float(np.nanmean(of_classes))


def auc(targets, scores):
    """Area under the ROC curve of each class, scikit-learn's `roc_auc_score`.

    The probability that a positive clip scores higher than a negative one, where a
    tie counts one half.

    Args:
        targets: `(N, C)` of 0 and 1.
        scores: `(N, C)`: logits or probabilities, only their order counts.

    Returns:
        `(C,)`, NaN for a class without a positive or without a negative clip.

    Raises:
        ValueError: As of `average_precision`.

    Example:

    >>> auc([[1, 0], [0, 0], [1, 0]], [[0.9, 0.8], [0.8, 0.2], [0.8, 0.9]])
    array([0.75,  nan])
    """
    return _of_each_class(_auc, targets, scores)


def mean_auc(targets, scores):
    """Macro mean of `auc`, over the classes with positive and negative clips.

    Args:
        targets: `(N, C)` of 0 and 1.
        scores: `(N, C)`: logits or probabilities, only their order counts.

    Raises:
        ValueError: As of `average_precision`, or if no class has both.

    Example:

    >>> mean_auc([[1, 0], [0, 0], [1, 0]], [[0.9, 0.8], [0.8, 0.2], [0.8, 0.9]])
    0.75
    """
    of_classes = auc(targets, scores)
    if np.isnan(of_classes).all():
        raise ValueError(
            "Expected a positive and a negative for at least one class; received "
            f"none in targets of shape {np.shape(targets)}. Check that the labels "
            "were read."
        )
    return float(np.nanmean(of_classes))


def d_prime(auc):
    """d-prime of an area under the ROC curve, `sqrt(2) * inverse normal cdf(AUC)`.

    How many standard deviations lie between the scores of negatives and of positives,
    were both normal with the same deviation. That of a dataset is of its `mean_auc`,
    not the mean of its classes'.

    Args:
        auc: A number from 0 to 1, or an array of them; NaN stays NaN.

    Returns:
        As given: 0 for 0.5, infinite for 1.

    Raises:
        ValueError: If a value is not from 0 to 1.

    Example:

    >>> round(d_prime(0.975), 3)
    2.772
    >>> targets, scores = [[1], [0], [1]], [[0.9], [0.8], [0.8]]
    >>> round(d_prime(mean_auc(targets, scores)), 3)
    0.954

    Reference:
        Gemmeke et al., Audio Set, 2017; Gong et al., AST, 2021.
    """
    from scipy.special import ndtri  # scikit-learn brings it

    auc = np.asarray(auc, "float64")
    if ((auc < 0) | (auc > 1)).any():
        raise ValueError(
            f"auc is from 0 to 1; received {auc[(auc < 0) | (auc > 1)][:5]}. Give "
            "what auc or mean_auc returns."
        )
    found = np.sqrt(2.0) * ndtri(auc)
    return found if auc.ndim else float(found)


def _of_each_class(measure, targets, scores):
    """`measure(is_positive, scores)` of each column, as an array `(C,)`."""
    targets, scores = np.asarray(targets), finite("scores", scores, 2)
    if targets.shape != scores.shape or not _is_binary(targets):
        raise ValueError(
            "targets are 0 or 1 and of the scores' shape (N, C); received targets "
            f"{targets.shape}, scores {scores.shape}. np.eye(C)[classes] makes them "
            "from class numbers."
        )
    columns = np.ascontiguousarray(scores.T)
    return np.array([measure(*c) for c in zip(targets.T == 1, columns, strict=True)])


def _is_binary(targets):
    return bool(((targets == 0) | (targets == 1)).all())


def _average_precision(is_positive, scores):
    """Of one class. Sorted scores give all clips as high or higher, ties included."""
    positives = np.sort(scores[is_positive])
    if not len(positives):
        return np.nan
    retrieved = len(scores) - np.searchsorted(np.sort(scores), positives)
    right = len(positives) - np.searchsorted(positives, positives)
    return np.mean(right / retrieved)


def _auc(is_positive, scores):
    """Of one class, from how many negatives are below and not above each positive."""
    positives, negatives = scores[is_positive], np.sort(scores[~is_positive])
    if not len(positives) or not len(negatives):
        return np.nan
    positives = np.sort(positives)  # neighbours are found sooner
    below = np.searchsorted(negatives, positives, side="left")
    not_above = np.searchsorted(negatives, positives, side="right")
    return np.mean(below + not_above) / (2 * len(negatives))
