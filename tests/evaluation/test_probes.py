import numpy as np
import pytest

from keras_asit import evaluation

pytestmark = pytest.mark.backend_free


def blobs(clips, seed, spread=0.3):
    """Three classes of points around three far corners, and their names."""
    rng = np.random.default_rng(seed)
    classes = np.arange(clips) % 3
    points = np.eye(3)[classes] * 4 + spread * rng.normal(size=(clips, 3))
    return points.astype("float32"), np.array(["cat", "dog", "rain"])[classes]


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
