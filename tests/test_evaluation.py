import numpy as np
import pytest

from keras_asit import evaluation


def blobs(clips, seed, spread=0.3):
    """Three classes of points around three far corners, and their names."""
    rng = np.random.default_rng(seed)
    classes = np.arange(clips) % 3
    points = np.eye(3)[classes] * 4 + spread * rng.normal(size=(clips, 3))
    return points.astype("float32"), np.array(["cat", "dog", "rain"])[classes]


def average_precision_by_hand(targets, scores):
    """The mean over the positives of the precision at their rank; no ties."""
    hits = targets[np.argsort(-scores)]
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return precision[hits == 1].mean()


def test_accuracy():
    scores = [[0.1, 0.9], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]]
    assert evaluation.accuracy([1, 0, 0, 1], scores) == 0.75


def test_mean_average_precision_by_hand():
    # Class 0: positives at ranks 1 and 3, (1 + 2/3) / 2. Class 1: rank 2, 1/2.
    targets = [[1, 0], [0, 1], [1, 0]]
    scores = [[0.9, 0.8], [0.5, 0.6], [0.3, 0.2]]
    expected = (5 / 6 + 1 / 2) / 2
    assert evaluation.mean_average_precision(targets, scores) == pytest.approx(expected)


def test_mean_average_precision_leaves_out_classes_without_positives():
    rng = np.random.default_rng(0)
    targets = (rng.random((40, 5)) < 0.3).astype("int32")
    targets[:, 2] = 0
    scores = rng.normal(size=(40, 5))
    expected = np.mean(
        [average_precision_by_hand(targets[:, c], scores[:, c]) for c in (0, 1, 3, 4)]
    )
    assert evaluation.mean_average_precision(targets, scores) == pytest.approx(expected)


def test_knn_accuracy_is_a_vote_by_cosine():
    train_x, train_y = blobs(30, seed=0)
    test_x, test_y = blobs(12, seed=1)
    # Cosine: the length of an embedding does not count.
    lengths = np.random.default_rng(2).uniform(0.1, 10, (12, 1))
    assert evaluation.knn_accuracy(train_x, train_y, test_x * lengths, test_y) == 1.0
    unit_train = train_x / np.linalg.norm(train_x, axis=1, keepdims=True)
    noise = np.random.default_rng(3).normal(size=(12, 3))
    nearest = train_y[np.argmax(noise @ unit_train.T, axis=1)]
    assert evaluation.knn_accuracy(train_x, train_y, noise, nearest, k=1) == 1.0


def test_linear_probe_standardises():
    train_x, train_y = blobs(60, seed=0)
    test_x, test_y = blobs(30, seed=1)
    scale, offset = np.array([1e-3, 1.0, 1e3]), np.array([0.0, 5.0, -1e4])
    accuracies = [
        evaluation.linear_probe(
            train_x * scale + offset, train_y, test_x * scale + offset, test_y, seed=s
        )
        for s in (0, 0, 1)
    ]
    assert accuracies == [1.0, 1.0, 1.0]
    shuffled = np.random.default_rng(0).permutation(train_y)
    assert evaluation.linear_probe(train_x, shuffled, test_x, test_y) < 0.8


def test_log_mel_statistics_by_hand():
    fbank = [[0.0, 5.0], [2.0, 5.0], [4.0, 5.0], [2.0, 5.0]]
    expected = [[2.0, 5.0, np.sqrt(2), 0.0, 2.0, 0.0]]
    np.testing.assert_allclose(evaluation.log_mel_statistics([fbank]), expected)
    assert evaluation.log_mel_statistics(np.ones((3, 7, 4))).shape == (3, 12)


X, Y = np.ones((4, 2)), [0, 1, 0, 1]
NAN = np.full((4, 2), np.nan)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: evaluation.accuracy([0, 1, 2, 0], X), "from 0 to 1"),
        (lambda: evaluation.accuracy([0, 1], X), r"\(2,\) and \(4, 2\)"),
        (lambda: evaluation.mean_average_precision(Y, X), r"\(N, C\).*np.eye"),
        (lambda: evaluation.mean_average_precision(X * 2, X), "0 or 1"),
        (lambda: evaluation.mean_average_precision(X * 0, X), "at least one class"),
        (lambda: evaluation.mean_average_precision(X, NAN), "8 NaN"),
        (lambda: evaluation.knn_accuracy(X, Y, X, Y, k=5), "1 to the 4.*k=5"),
        (lambda: evaluation.knn_accuracy(X, Y[:3], X, Y, k=1), "train_x and train_y"),
        (lambda: evaluation.knn_accuracy(X, Y, X[:, :1], Y, k=1), "one width"),
        (lambda: evaluation.linear_probe(X, [1] * 4, X, Y), "two classes"),
        (lambda: evaluation.linear_probe(X, np.eye(4), X, Y), "one class a clip"),
        (lambda: evaluation.linear_probe(NAN, Y, X, Y), "train_x holds"),
        (
            lambda: evaluation.linear_probe(X, Y, X, Y, regularisation=0),
            "regularisation is above 0",
        ),
        (lambda: evaluation.log_mel_statistics(X), "rank 3"),
        (lambda: evaluation.log_mel_statistics(X[None, :1]), "2 frames"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
