"""How good embeddings are: what simple classifiers read from them."""

import numpy as np

from keras_asit.evaluation.arrays import check_same_length, finite


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
    fbanks = finite("fbanks", fbanks, 3)
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
    train_x, test_x = finite("train_x", train_x, 2), finite("test_x", test_x, 2)
    train_y, test_y = _classes("train_y", train_y), _classes("test_y", test_y)
    check_same_length("train_x", train_x, "train_y", train_y)
    check_same_length("test_x", test_x, "test_y", test_y)
    if train_x.shape[1] != test_x.shape[1]:
        raise ValueError(
            "train_x and test_x are embeddings of one width; received "
            f"{train_x.shape} and {test_x.shape}. Embed both with the same model."
        )
    return train_x, train_y, test_x, test_y


def _classes(name, values):
    values = np.asarray(values)
    if values.ndim != 1:
        raise ValueError(
            f"{name} is one class a clip, (N,); received shape {values.shape}."
        )
    return values
