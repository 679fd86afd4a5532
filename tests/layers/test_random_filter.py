import numpy as np
import pytest
from keras import ops
from scipy import stats

from keras_asit.audio import LogMelFilterbank
from keras_asit.layers import RandomFilter
from layer_checks import check_layer

BINS, POINTS = 16, 6  # every third bin is a point


def curves(decibels=12.0, num_points=POINTS, shape=(3000, 2, 3, BINS), **options):
    """What a filter adds to zeros `(N, V, T, F)`, and to every frame alike."""
    layer = RandomFilter(decibels, num_points, **{"seed": 1, **options})
    added = ops.convert_to_numpy(layer(np.zeros(shape, "float32"), training=True))
    assert np.all(added == added[..., :1, :])
    return added[..., 0, :]


@pytest.mark.parametrize("shape", [(4, 8, BINS), (4, 2, 8, BINS)])
def test_layer_properties(shape):
    check_layer(
        RandomFilter,
        {"decibels": 6.0, "std": 4.0, "seed": 1},
        input_shape=shape,
        expected_output_shape=shape,
        expected_num_seeds=1,
        call_kwargs={"training": True},
    )


def test_config_keeps_every_argument():
    options = {"decibels": 3.0, "num_points": 4, "std": 2.5, "seed": 7}
    revived = RandomFilter.from_config(RandomFilter(**options).get_config())
    assert {name: getattr(revived, name) for name in options} == options


def test_gains_are_uniform_and_independent():
    gains = curves()[..., ::3] * 10 / np.log(10)  # to decibels
    gains = gains.reshape(-1, POINTS)
    for column in gains.T:
        assert stats.kstest(column, stats.uniform(-12, 24).cdf).pvalue > 1e-3
    between_points = np.corrcoef(gains.T) - np.eye(POINTS)
    between_views = np.corrcoef(gains[::2].T, gains[1::2].T)[:POINTS, POINTS:]
    assert np.abs(between_points).max() < 0.06
    assert np.abs(between_views).max() < 0.08


def test_gains_between_points_are_interpolated():
    added = curves(shape=(5, 2, 3, BINS)).reshape(-1, BINS)
    for curve in added:
        expected = np.interp(np.arange(BINS), np.arange(0, BINS, 3), curve[::3])
        np.testing.assert_allclose(curve, expected, atol=1e-5)


def test_one_point_is_a_gain_of_all_bins():
    added = curves(num_points=1)
    assert np.all(added == added[..., :1])
    assert np.ptp(added[..., 0]) > 5


def test_it_is_the_filterbank_of_a_louder_wave():
    """20 log10(2) decibels double the amplitude, whatever the normalisation."""
    wave = np.random.default_rng(0).normal(size=(1, 8000)).astype("float32") / 20
    decibels = 20 * np.log10(2)
    for scale in ({}, {"mean": -6.0, "std": 3.0}):
        frontend = LogMelFilterbank(sample_rate=16000, num_mel_bins=32, **scale)
        quiet, loud = (ops.convert_to_numpy(frontend(k * wave)) for k in (1, 2))
        one_nat = np.log(10) / 20  # by this `std` a decibel counts 1
        unit = curves(1.0, 1, shape=quiet.shape, std=one_nat)
        gain = curves(decibels, 1, shape=quiet.shape, std=scale.get("std"))
        np.testing.assert_allclose(gain, unit * (loud - quiet).mean(), rtol=1e-4)


@pytest.mark.parametrize("decibels, training", [(12.0, False), (0.0, True)])
def test_nothing_is_added(decibels, training):
    views = np.random.default_rng(0).normal(size=(2, 2, 4, 8)).astype("float32")
    out = RandomFilter(decibels, seed=1)(views, training=training)
    np.testing.assert_array_equal(ops.convert_to_numpy(out), views)


def test_draws_follow_the_seed_and_go_on():
    np.testing.assert_array_equal(curves(), curves())
    assert np.any(curves() != curves(seed=2))
    layer, zeros = RandomFilter(seed=1), np.zeros((2, 3, 8), "float32")
    first, second = (
        ops.convert_to_numpy(layer(zeros, training=True)) for _ in range(2)
    )
    assert np.any(first != second)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"decibels": -1}, "decibels is 0 or more; received -1"),
        ({"decibels": float("nan")}, "decibels is 0 or more; received nan"),
        ({"num_points": 0}, "num_points is a whole number, 1 or more; received 0"),
        ({"num_points": 2.5}, "num_points is a whole number, 1 or more; received 2.5"),
        ({"std": 0.0}, "std is more than 0, or None; received 0.0"),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        RandomFilter(**options)
