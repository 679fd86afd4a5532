import keras
import numpy as np
import pytest
from keras import ops

from keras_asit.layers import RandomResizedCrop
from layer_checks import check_layer


def cropped(views, time=(1, 1), frequency=(1, 1), seed=1):
    layer = RandomResizedCrop(time, frequency, seed=seed)
    return ops.convert_to_numpy(layer(views, training=True))


def by_hand(row, size, start):
    """A row of values, from `start` on for `size` places, resized to its length."""
    length = len(row)
    places = start + (np.arange(length) + 0.5) * size / length - 0.5
    return np.interp(np.clip(places, 0, length - 1), np.arange(length), row)


@pytest.mark.parametrize("shape", [(4, 8, 16), (4, 2, 8, 16)])
def test_layer_properties(shape):
    check_layer(
        RandomResizedCrop,
        {"time": (0.5, 1.2), "frequency": (0.8, 1.0), "seed": 1},
        input_shape=shape,
        expected_output_shape=shape,
        expected_num_seeds=1,
        call_kwargs={"training": True},
    )


def test_half_of_the_frames_at_a_random_place():
    """A ramp tells where each new frame was taken from."""
    frames, bins = 32, 4
    ramp = np.broadcast_to(np.arange(frames, dtype="float32")[:, None], (frames, bins))
    views = np.stack([ramp] * 500)
    found = cropped(views, time=(0.5, 0.5))
    np.testing.assert_allclose(found, found[..., :1].repeat(bins, -1), atol=1e-4)
    inside = found[:, 2:-2, 0]
    np.testing.assert_allclose(np.diff(inside, axis=1), 0.5, atol=1e-4)
    starts = found[:, 8, 0] - 8.5 * 0.5 + 0.5
    assert starts.min() > -0.01 and starts.max() < 16.01
    assert abs(starts.mean() - 8) < 0.7 and starts.std() == pytest.approx(4.6, abs=0.5)
    for start, row in zip(starts[:5], found[:5, :, 0], strict=True):
        np.testing.assert_allclose(row, by_hand(ramp[:, 0], 16, start), atol=1e-3)


def test_shares_above_one_repeat_the_border():
    bins = 16
    ramp = np.broadcast_to(np.arange(bins, dtype="float32"), (200, 8, bins))
    found = cropped(ramp, frequency=(2.0, 2.0))
    assert found.min() == 0 and found.max() == bins - 1
    starts = []
    for row in found[:, 0]:
        steps = np.diff(row)
        assert np.isclose(steps, 2).sum() >= 6, "every second bin where it lies inside"
        assert np.isclose(row, 0).sum() + np.isclose(row, bins - 1).sum() >= 7
        starts.append(np.isclose(row, 0).sum())
    assert 3 < np.mean(starts) < 6, "as far on the one as on the other side"


def test_shares_are_uniform():
    frames = 64
    ramp = np.broadcast_to(
        np.arange(frames, dtype="float32")[:, None], (800, frames, 2)
    )
    middle = cropped(ramp, time=(0.5, 1.0))[:, 30:34, 0]
    shares = np.diff(middle, axis=1).mean(axis=1)
    assert shares.min() > 0.499 and shares.max() < 1.001
    np.testing.assert_allclose(
        np.quantile(shares, [0.25, 0.75]), [0.625, 0.875], atol=0.03
    )


@pytest.mark.parametrize("training, shares", [(False, (0.5, 1.5)), (True, (1, 1))])
def test_nothing_changes(training, shares):
    views = np.random.default_rng(0).normal(size=(2, 2, 8, 16)).astype("float32")
    found = RandomResizedCrop(shares, shares, seed=1)(views, training=training)
    np.testing.assert_array_equal(ops.convert_to_numpy(found), views)


def test_draws_follow_the_seed_and_differ_between_views():
    view = np.random.default_rng(0).normal(size=(8, 16)).astype("float32")
    views = np.broadcast_to(view, (2, 2, 8, 16))
    once = cropped(views, (0.5, 1.5), (0.5, 1.5))
    np.testing.assert_array_equal(once, cropped(views, (0.5, 1.5), (0.5, 1.5)))
    assert np.any(once != cropped(views, (0.5, 1.5), (0.5, 1.5), seed=2))
    flat = once.reshape(4, -1)
    for first in range(4):
        for second in range(first):
            assert np.any(flat[first] != flat[second])


def test_half_precision_keeps_its_type():
    layer = RandomResizedCrop((0.5, 1.0), seed=1, dtype="mixed_bfloat16")
    out = layer(np.zeros((2, 8, 8), "float32"), training=True)
    assert keras.backend.standardize_dtype(out.dtype) == "bfloat16"


@pytest.mark.parametrize("wrong", [(0, 1), (1.2, 0.8), 0.5, (1,), (0.5, float("inf"))])
@pytest.mark.parametrize("axis", ["time", "frequency"])
def test_arguments_out_of_range(axis, wrong):
    with pytest.raises(ValueError, match=rf"{axis} is \(low, high\) with 0 < low"):
        RandomResizedCrop(**{axis: wrong})
