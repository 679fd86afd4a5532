"""How good scores and embeddings are: functions of arrays."""

import numpy as np


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
    targets, scores = np.asarray(targets), _finite("scores", scores, 2)
    _check_same_length("targets", targets, "scores", scores)
    if targets.ndim != 1 or not np.isin(targets, np.arange(scores.shape[1])).all():
        raise ValueError(
            f"targets are integers (N,) from 0 to {scores.shape[1] - 1}, the columns "
            f"of the scores; received shape {targets.shape} and values "
            f"{np.unique(targets)[:5]}. Multi-hot targets go into "
            "mean_average_precision."
        )
    return np.mean(scores.argmax(axis=1) == targets)


def mean_average_precision(targets, scores):
    """Macro mean average precision, the measure of AudioSet (paper, Section 4).

    The mean over the classes of scikit-learn's `average_precision_score`. A class
    without a positive clip has no average precision and is left out.

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
    from sklearn.metrics import average_precision_score

    targets, scores = np.asarray(targets), _finite("scores", scores, 2)
    if targets.shape != scores.shape or not np.isin(targets, (0, 1)).all():
        raise ValueError(
            "targets are 0 or 1 and of the scores' shape (N, C); received targets "
            f"{targets.shape}, scores {scores.shape}. np.eye(C)[classes] makes them "
            "from class numbers."
        )
    present = targets.any(axis=0)
    if not present.any():
        raise ValueError(
            "Expected a positive for at least one class; received none in targets "
            f"of shape {targets.shape}. Check that the labels were read."
        )
    return float(
        average_precision_score(
            targets[:, present], scores[:, present], average="macro"
        )
    )


def knn_accuracy(train_x, train_y, test_x, test_y, k=10):
    """Accuracy of a vote of the k nearest training embeddings.

    A plain majority vote by cosine distance, scikit-learn's
    `KNeighborsClassifier`; DINO weighs the votes by similarity instead.

    Args:
        train_x: `(N, D)` embeddings.
        train_y: `(N,)` classes.
        test_x: `(M, D)` embeddings of held-out clips.
        test_y: `(M,)` their classes.
        k: Number of neighbours, at most N.

    Raises:
        ValueError: If the shapes do not fit, a value is not finite, or `k` is out
            of range.

    Example:

    >>> knn_accuracy([[1.0, 0.0], [0.0, 1.0]], [0, 1], [[3.0, 1.0]], [0], k=1)
    1.0
    """
    from sklearn.neighbors import KNeighborsClassifier

    arrays = _checked_split(train_x, train_y, test_x, test_y)
    if not 1 <= k <= len(arrays[0]):
        raise ValueError(
            f"k is from 1 to the {len(arrays[0])} training clips; received k={k}."
        )
    vote = KNeighborsClassifier(n_neighbors=k, metric="cosine", algorithm="brute")
    return _fitted_score(vote, *arrays)


def linear_probe(train_x, train_y, test_x, test_y, seed=0, regularisation=1.0):
    """Accuracy of a logistic regression on standardised embeddings.

    What a linear layer can read from features that are not trained further. On
    `log_mel_statistics` it is the floor that a pretrained model must pass.

    Args:
        train_x: `(N, D)` embeddings.
        train_y: `(N,)` classes, two or more different ones.
        test_x: `(M, D)` embeddings of held-out clips.
        test_y: `(M,)` their classes.
        seed: Seed of the solver.
        regularisation: Strength of the L2 penalty, the inverse of scikit-learn's
            `C`.

    Raises:
        ValueError: If the shapes do not fit, a value is not finite, there is only
            one class, or the regularisation is not above 0.

    Example:

    >>> linear_probe([[0.0], [1.0], [3.0], [4.0]], [0, 0, 1, 1], [[0.5]], [0])
    1.0
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    arrays = _checked_split(train_x, train_y, test_x, test_y)
    if len(np.unique(arrays[1])) < 2:
        raise ValueError(
            "Expected at least two classes in train_y; received "
            f"{np.unique(arrays[1])}. Check how the data were split."
        )
    if not regularisation > 0:
        raise ValueError(
            f"regularisation is above 0, for example 1.0; received {regularisation}."
        )
    regression = LogisticRegression(
        C=1.0 / regularisation, max_iter=2000, random_state=seed
    )
    return _fitted_score(make_pipeline(StandardScaler(), regression), *arrays)


def log_mel_statistics(fbanks):
    """Plain statistics of log-mel spectrograms, features that nothing has learned.

    The mean and the deviation of each mel band over time, and the mean absolute
    difference of frames next to each other. Under `linear_probe` they are the
    floor: a learned embedding is worth its training where it is better.

    Args:
        fbanks: `(N, T, F)`, two frames or more.

    Returns:
        `(N, 3 F)`: means, deviations, mean absolute differences.

    Raises:
        ValueError: If the shape is another or a value is not finite.

    Example:

    >>> log_mel_statistics([[[1.0], [3.0]]])
    array([[2., 1., 2.]])
    """
    fbanks = _finite("fbanks", fbanks, 3)
    if fbanks.shape[1] < 2:
        raise ValueError(
            f"Expected fbanks (N, T, F) of at least 2 frames; received {fbanks.shape}."
        )
    changes = np.abs(np.diff(fbanks, axis=1))
    statistics = [fbanks.mean(axis=1), fbanks.std(axis=1), changes.mean(axis=1)]
    return np.concatenate(statistics, axis=1)


def _fitted_score(estimator, train_x, train_y, test_x, test_y):
    return float(estimator.fit(train_x, train_y).score(test_x, test_y))


def _checked_split(train_x, train_y, test_x, test_y):
    train_x, test_x = _finite("train_x", train_x, 2), _finite("test_x", test_x, 2)
    train_y, test_y = _classes("train_y", train_y), _classes("test_y", test_y)
    _check_same_length("train_x", train_x, "train_y", train_y)
    _check_same_length("test_x", test_x, "test_y", test_y)
    if train_x.shape[1] != test_x.shape[1]:
        raise ValueError(
            "train_x and test_x are embeddings of one width; received "
            f"{train_x.shape} and {test_x.shape}. Embed both with the same model."
        )
    return train_x, train_y, test_x, test_y


def _finite(name, values, rank):
    values = np.asarray(values)
    if values.ndim != rank or 0 in values.shape:
        raise ValueError(
            f"{name} is an array of rank {rank} with values; received shape "
            f"{values.shape}."
        )
    if not np.isfinite(values).all():
        raise ValueError(
            f"{name} holds {np.sum(~np.isfinite(values))} NaN or infinite values. "
            "Look for a diverged training or a broken clip."
        )
    return values


def _classes(name, values):
    values = np.asarray(values)
    if values.ndim != 1:
        raise ValueError(
            f"{name} is one class a clip, (N,); received shape {values.shape}."
        )
    return values


def _check_same_length(name, values, other_name, other):
    if values.shape[:1] != other.shape[:1]:
        raise ValueError(
            f"{name} and {other_name} are of the same clips; received shapes "
            f"{values.shape} and {other.shape}."
        )
