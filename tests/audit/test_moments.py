"""Merged means and deviations are those of the whole."""

import numpy as np
import pytest

from keras_asit.audit.moments import Moments, standard_error

pytestmark = pytest.mark.backend_free


def parts(seed=0, offset=0.0):
    rng = np.random.default_rng(seed)
    return [offset + rng.normal(size=(n, 3)) * [1, 2, 5] for n in (1, 7, 0, 30, 2)]


@pytest.mark.parametrize("offset", [0.0, 1e7])
def test_merged_parts_are_the_whole(offset):
    """With 1e7, sums of squares would lose the deviation altogether."""
    rows = parts(offset=offset)
    moments = Moments()
    for part in rows:
        moments = moments.merged(Moments.of(part))
    whole = np.concatenate(rows)
    assert moments.count == 40
    np.testing.assert_allclose(moments.mean, whole.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(moments.std, whole.std(axis=0), rtol=1e-7)
    mean, std = moments.of_all_values()
    assert mean == pytest.approx(whole.mean(), rel=1e-12)
    assert std == pytest.approx(whole.std(), rel=1e-7)


def test_by_hand():
    moments = Moments.of(np.array([[1.0, 5.0]])).merged(
        Moments.of(np.array([[3.0, 5.0]]))
    )
    assert moments.mean.tolist() == [2, 5] and moments.std.tolist() == [1, 0]
    mean, std = moments.of_all_values()
    assert mean == 3.5 and std == pytest.approx(np.std([1, 5, 3, 5]))


def test_float32_values_are_summed_in_float64():
    values = np.full((100_000, 1), 0.1, "float32")
    assert Moments.of(values).mean[0] == pytest.approx(
        float(np.float32(0.1)), rel=1e-12
    )


def test_of_nothing():
    assert Moments.of(np.zeros((0, 3))).merged(Moments()).count == 0


def test_standard_error_is_that_of_drawing_clips():
    """Against the spread of the means of many draws."""
    rng = np.random.default_rng(0)
    counts = rng.integers(5, 50, 400)
    means = rng.normal(-5, 3, 400)
    drawn = [rng.permutation(400)[:100] for _ in range(2000)]
    spread = np.std([np.average(means[d], weights=counts[d]) for d in drawn])
    said = [standard_error(counts[d], means[d], 400) for d in drawn[:50]]
    assert np.mean(said) == pytest.approx(spread, rel=0.05)
    assert standard_error(counts, means, 400) == 0
