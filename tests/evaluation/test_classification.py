import numpy as np
import pytest
from sklearn import metrics

from keras_asit import evaluation

pytestmark = pytest.mark.backend_free


def test_accuracy():
    scores = [[0.1, 0.9], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]]
    assert evaluation.accuracy([1, 0, 0, 1], scores) == 0.75


def test_confusion_matrix_by_hand():
    found = evaluation.confusion_matrix([0, 0, 2, 2, 2], [0, 1, 2, 2, 0], num_classes=3)
    assert found.tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 2]]


def test_confusion_matrix_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    targets, scores = rng.integers(0, 6, 200), rng.normal(size=(200, 7))
    expected = metrics.confusion_matrix(targets, scores.argmax(1), labels=range(7))
    for found in (
        evaluation.confusion_matrix(targets, scores),
        evaluation.confusion_matrix(targets, scores.argmax(1), num_classes=7),
        evaluation.confusion_matrix(targets.astype("uint8"), scores, num_classes=7),
    ):
        np.testing.assert_array_equal(found, expected)
    right = np.trace(expected) / 200
    assert evaluation.accuracy(targets, scores) == pytest.approx(right)


X, Y = np.ones((4, 2)), [0, 1, 0, 1]


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: evaluation.accuracy([0, 1, 2, 0], X), "from 0 to 1"),
        (lambda: evaluation.accuracy([0, 1], X), r"\(2,\) and \(4, 2\)"),
        (lambda: evaluation.confusion_matrix(Y, Y), "Expected num_classes"),
        (lambda: evaluation.confusion_matrix(Y, X, 3), "columns of the scores, 2"),
        (lambda: evaluation.confusion_matrix(Y, X * np.nan), "8 NaN"),
        (lambda: evaluation.confusion_matrix(Y, Y[:3], 2), "targets and predictions"),
        (lambda: evaluation.confusion_matrix([0, 2, 0, 0], X), "targets are.* 0 to 1"),
        (lambda: evaluation.confusion_matrix(Y, [0, -1, 0, 0], 2), "predictions are"),
        (lambda: evaluation.confusion_matrix(X, X), r"\(4, 2\)"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
