import numpy as np

from keras_asit.data import draws
from keras_asit.data.clips import Waveform, rotated_part
from keras_asit.data.views import first_samples


def views(wave, clip, samples, count=2, probability=0.5):
    starts = first_samples(
        draws.key(0, 0, clip), len(wave), samples, count, probability
    )
    assert ((starts >= 0) & (starts < len(wave))).all()
    return [rotated_part(Waveform(wave), int(start), samples) for start in starts]


def test_without_rotation_views_are_crops():
    wave, begins = np.arange(10.0), set()
    for clip in range(100):
        for view in views(wave, clip, 7, probability=0.0):
            np.testing.assert_array_equal(view, view[0] + np.arange(7))
            begins.add(view[0])
    assert begins == {0, 1, 2, 3}


def test_views_are_crops_of_one_rotated_clip():
    """In memory, as the reference does it, with the same random numbers."""
    wave = np.arange(50.0)
    for clip in range(200):
        key = draws.key(0, 0, clip)
        amount, chance = draws.uniforms(key, "shift", 2)
        rotated = np.roll(wave, int(amount * 50)) if chance < 0.5 else wave
        starts = [int(u * 21) for u in draws.uniforms(key, "crop", 2)]
        expected = [rotated[start : start + 30] for start in starts]
        np.testing.assert_array_equal(views(wave, clip, 30), expected)


def test_half_of_the_clips_are_rotated():
    """A whole clip as its view: where it begins is how far it was rotated."""
    wave = np.arange(50.0)
    begins = np.array([views(wave, clip, 50, count=1)[0][0] for clip in range(2000)])
    # 0.5 * 49 / 50, within four standard deviations of 2000 draws
    assert abs(np.mean(begins != 0) - 0.49) < 4 * np.sqrt(0.25 / 2000)
    assert len(set(begins)) == 50


def test_a_short_clip_is_rotated_and_ends_in_zeros():
    wave = np.arange(1.0, 5.0)
    for clip in range(50):
        for view in views(wave, clip, 6):
            assert view[4:].tolist() == [0, 0]
            np.testing.assert_array_equal(np.roll(view[:4], int(view[0]) - 1), wave)
