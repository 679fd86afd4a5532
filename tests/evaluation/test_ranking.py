"""scikit-learn is the oracle, class by class."""

import warnings

import numpy as np
import pytest
from scipy.stats import norm
from sklearn import metrics

from keras_asit import evaluation

pytestmark = pytest.mark.backend_free


def random_case(clips=300, classes=9, seed=0):
    """Classes of all kinds: without positives, with one, with all, and others."""
    rng = np.random.default_rng(seed)
    targets = (rng.random((clips, classes)) < 0.2).astype("int32")
    targets[:, 0] = 0
    targets[:, 1] = 0
    targets[rng.integers(clips), 1] = 1
    targets[:, 2] = 1
    targets[0, 3], targets[1:, 3] = 0, 1
    scores = rng.normal(size=(clips, classes)) + targets
    return targets, scores


def cases():
    targets, scores = random_case()
    yield "distinct", targets, scores
    yield "float32", targets, scores.astype("float32")
    yield "ties", targets, np.round(scores)
    yield "integers", targets.astype(bool), np.round(scores).astype("int64")
    yield "one score", targets, np.zeros_like(scores)
    yield "signed zeros", targets, np.where(targets, -0.0, 0.0)
    yield "two scores", targets, (scores > 1).astype("float32")
    yield "two clips", np.array([[1.0], [0.0]]), np.array([[0.2], [0.3]])
    yield "one clip", np.array([[1, 0]]), np.array([[0.2, 0.3]])


CASES = [pytest.param(*case, id=name) for name, *case in cases()]


def of_scikit_learn(measure, targets, scores, with_negatives):
    """The measure of each class, NaN where it has no positive (or no negative)."""
    found = []
    for c in range(targets.shape[1]):
        some = 0 < targets[:, c].sum() < len(targets) + (not with_negatives)
        found.append(measure(targets[:, c], scores[:, c]) if some else np.nan)
    return np.array(found)


@pytest.mark.parametrize(("targets", "scores"), CASES)
def test_average_precision_is_that_of_scikit_learn(targets, scores):
    measure = metrics.average_precision_score
    expected = of_scikit_learn(measure, targets, scores, with_negatives=False)
    found = evaluation.average_precision(targets, scores)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    mean = evaluation.mean_average_precision(targets, scores)
    present = targets.any(axis=0)
    macro = measure(targets[:, present], scores[:, present], average="macro")
    assert mean == pytest.approx(macro, abs=1e-12)
    assert type(mean) is float


@pytest.mark.large
def test_average_precision_of_as_many_clips_and_classes_as_audioset():
    """A quarter of the classes are empty; some scores are ties."""
    rng = np.random.default_rng(0)
    shares = rng.choice([0, 3e-4, 3e-3, 0.1], 527)
    targets = rng.random((20_000, 527)) < shares
    scores = np.round(rng.normal(size=targets.shape) + 2 * targets, 3)
    scores = scores.astype("float32")
    present = targets.any(axis=0)
    assert 350 < present.sum() < 450
    expected = metrics.average_precision_score(
        targets[:, present], scores[:, present], average=None
    )
    found = evaluation.average_precision(targets, scores)
    np.testing.assert_allclose(found[present], expected, rtol=0, atol=1e-9)
    assert np.isnan(found[~present]).all()
    mean = evaluation.mean_average_precision(targets, scores)
    assert mean == pytest.approx(expected.mean(), abs=1e-9)


@pytest.mark.parametrize(("targets", "scores"), CASES)
def test_auc_is_that_of_scikit_learn(targets, scores):
    measure = metrics.roc_auc_score
    expected = of_scikit_learn(measure, targets, scores, with_negatives=True)
    found = evaluation.auc(targets, scores)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    if np.isnan(expected).all():
        with pytest.raises(ValueError, match="a positive and a negative"):
            evaluation.mean_auc(targets, scores)
        return
    mean = evaluation.mean_auc(targets, scores)
    assert mean == pytest.approx(np.nanmean(expected), abs=1e-12)


def test_mean_average_precision_by_hand():
    # Class 0: positives at ranks 1 and 3, (1 + 2/3) / 2. Class 1: rank 2, 1/2.
    targets = [[1, 0], [0, 1], [1, 0]]
    scores = [[0.9, 0.8], [0.5, 0.6], [0.3, 0.2]]
    expected = (5 / 6 + 1 / 2) / 2
    assert evaluation.mean_average_precision(targets, scores) == pytest.approx(expected)


def test_ties_by_hand():
    # The positives at 0.5 share ranks 2 to 4 with a negative: precision 3/4 for both.
    targets = [[1], [1], [0], [1], [0]]
    scores = [[0.9], [0.5], [0.5], [0.5], [0.1]]
    found = evaluation.average_precision(targets, scores)
    assert found == pytest.approx([(1 + 3 / 4 + 3 / 4) / 3])
    # Pairs with the two negatives: 2 won, then twice a tie and one won.
    assert evaluation.mean_auc(targets, scores) == pytest.approx((2 + 1.5 + 1.5) / 6)


def test_nothing_warns_of_empty_classes():
    targets, scores = random_case()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluation.mean_average_precision(targets, scores)
        evaluation.d_prime(evaluation.auc(targets, scores))


def test_d_prime():
    areas = np.array([0.0, 0.2, 0.5, 0.9, 1.0, np.nan])
    expected = np.sqrt(2) * norm.ppf(areas)
    np.testing.assert_allclose(evaluation.d_prime(areas), expected, atol=1e-15)
    # The value that belongs to the AUC of 0.959 in Gemmeke et al., 2017.
    assert evaluation.d_prime(0.959) == pytest.approx(2.452, abs=0.01)


def test_d_prime_is_the_distance_of_two_normal_distributions():
    rng = np.random.default_rng(0)
    targets = np.arange(40000)[:, None] % 2
    scores = rng.normal(size=targets.shape) + 1.7 * targets
    found = evaluation.d_prime(evaluation.mean_auc(targets, scores))
    assert found == pytest.approx(1.7, abs=0.05)


X, Y = np.ones((4, 2)), [0, 1, 0, 1]
NAN = np.full((4, 2), np.nan)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: evaluation.mean_average_precision(Y, X), r"\(N, C\).*np.eye"),
        (lambda: evaluation.mean_average_precision(X * 2, X), "0 or 1"),
        (lambda: evaluation.mean_average_precision(X * 0, X), "at least one class"),
        (lambda: evaluation.mean_average_precision(X, NAN), "8 NaN"),
        (lambda: evaluation.average_precision(NAN, X), "0 or 1"),
        (lambda: evaluation.auc(X, X[:, :1]), r"\(4, 2\), scores \(4, 1\)"),
        (lambda: evaluation.mean_auc(X, X), "a positive and a negative"),
        (lambda: evaluation.d_prime([0.5, 1.5]), "from 0 to 1.*1.5"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
