import numpy as np
import pytest

from keras_asit.data import draws
from keras_asit.data.spec_augment import SpecAugment, masked_value

ONES = np.ones((60, 32), "float32")


def of_clips(augment, features=ONES, clips=300):
    return [augment(features, draws.key(0, 0, clip)) for clip in range(clips)]


def test_one_band_and_one_stretch_are_masked():
    heights, widths = set(), set()
    for masked in of_clips(SpecAugment(frequency_mask=8, time_mask=20)):
        bins = np.flatnonzero((masked == 0).all(axis=0))
        frames = np.flatnonzero((masked == 0).all(axis=1))
        for places in (bins, frames):
            assert len(places) < 2 or (np.diff(places) == 1).all()
        expected = ONES.copy()
        expected[:, bins] = expected[frames] = 0
        np.testing.assert_array_equal(masked, expected)
        heights.add(len(bins))
        widths.add(len(frames))
    assert heights == set(range(8)) and widths == set(range(20))


def test_a_mask_wider_than_the_features_fits():
    for masked in of_clips(SpecAugment(frequency_mask=100, time_mask=100), clips=50):
        assert masked.shape == ONES.shape


def test_what_masks_are_filled_with():
    assert masked_value("mean", -4.0, 2.0) == 0.0
    assert masked_value("zero_before_normalisation", -4.0, 2.0) == 1.0
    assert masked_value("zero_before_normalisation", None, None) == 0.0
    with pytest.raises(ValueError, match="Expected a mask fill"):
        masked_value("median", -4.0, 2.0)
    masked = SpecAugment(frequency_mask=8, mask_value=7.0)(ONES, draws.key(0, 0, 1))
    assert set(masked.ravel()) == {1.0, 7.0}


def test_noise_has_a_level_of_its_own_in_every_clip():
    noisy = of_clips(SpecAugment(noise=0.1), np.zeros((60, 32), "float32"), 200)
    levels = np.array([noise.max() for noise in noisy])
    assert min(noise.min() for noise in noisy) >= 0 and levels.max() < 0.1
    # the mean of U(0, level) is level / 2, and levels are U(0, 0.1)
    np.testing.assert_allclose([n.mean() for n in noisy], levels / 2, rtol=0.1)
    assert abs(levels.mean() - 0.05) < 4 * 0.1 / np.sqrt(12 * 200)


def test_roll_in_time():
    frames = np.arange(60.0)[:, None] * np.ones((1, 32))
    begins = set()
    for rolled in of_clips(SpecAugment(roll_frames=3), frames):
        begins.add(int(rolled[0, 0]))
        np.testing.assert_array_equal(np.roll(rolled, int(rolled[0, 0]), 0), frames)
    assert begins == {57, 58, 59, 0, 1, 2, 3}


def test_off_and_out_of_range():
    assert SpecAugment().changes_nothing
    np.testing.assert_array_equal(SpecAugment()(ONES, draws.key(0, 0, 0)), ONES)
    with pytest.raises(ValueError, match=r"0 or more. Received: {'noise': -0.1}"):
        SpecAugment(noise=-0.1)


def test_a_graph_does_the_same():
    tf = pytest.importorskip("tensorflow")

    augment = SpecAugment(8, 20, mask_value=0.5, noise=0.1, roll_frames=5)
    features = np.random.default_rng(0).normal(size=(60, 32)).astype("float32")

    @tf.function
    def in_graph(clip):
        return augment(tf.constant(features), draws.key(0, 0, clip))

    for clip in range(5):
        expected = augment(features, draws.key(0, 0, clip))
        found = in_graph(tf.constant(clip, tf.int64))
        np.testing.assert_allclose(found, expected, atol=1e-6)
