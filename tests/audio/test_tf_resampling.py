import functools

import numpy as np
import pytest

from keras_asit.audio.resampling import resample
from keras_asit.audio.tf_resampling import impulses, tf_resample

pytestmark = pytest.mark.backend_free


@pytest.fixture(autouse=True)
def needs_tensorflow():
    pytest.importorskip("tensorflow", reason="its graphs need TensorFlow")


@functools.cache
def in_graph(rate, sample_rate):
    import tensorflow as tf

    def part(waveform, first, count):
        return tf_resample(waveform, rate, sample_rate, first, count)

    number = tf.TensorSpec([], tf.int64)
    return tf.function(part, [tf.TensorSpec([None], tf.float32), number, number])


def noise(samples, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, samples).astype("float32")


@pytest.mark.parametrize(
    ("rate", "sample_rate"),
    [(16000, 32000), (44100, 32000), (48000, 16000), (8000, 11025), (96000, 32000)],
)
@pytest.mark.parametrize("samples", [1, 2, 100, 5003])
def test_same_samples_as_soxr(rate, sample_rate, samples):
    """To its ends: the first samples and the rounded length are soxr's own, too."""
    waveform = noise(samples)
    whole = in_graph(rate, sample_rate)(waveform, 0, 1 << 40)
    expected = resample(waveform, rate, sample_rate)
    assert whole.shape == expected.shape
    np.testing.assert_allclose(whole, expected, atol=3e-6)


@pytest.mark.parametrize(("rate", "sample_rate"), [(44100, 32000), (16000, 32000)])
@pytest.mark.parametrize(
    ("first", "count"), [(0, 5), (3, 400), (1999, 700), (4900, 10**6), (10**6, 3)]
)
def test_part_is_a_slice_of_the_whole(rate, sample_rate, first, count):
    waveform = noise(7001)
    part = in_graph(rate, sample_rate)(waveform, first, count)
    expected = resample(waveform, rate, sample_rate)[first : first + count]
    assert part.shape == expected.shape
    np.testing.assert_allclose(part, expected, atol=3e-6)


def test_same_rate_is_a_slice():
    part = in_graph(16000, 16000)(noise(100), 10, 20)
    np.testing.assert_array_equal(part, noise(100)[10:30])


def test_nothing_gives_nothing():
    assert in_graph(44100, 32000)(np.zeros(0, "float32"), 0, 100).shape == (0,)


def test_gain_is_one():
    """A constant stays what it was, away from the ends; that is all taps' sum."""
    result = in_graph(44100, 32000)(np.ones(4410, "float32"), 300, 2000)
    np.testing.assert_allclose(result, 1.0, atol=1e-5)
    np.testing.assert_allclose(impulses(44100, 32000).taps.sum(axis=0), 1.0, atol=1e-5)


def test_rates_without_a_common_divisor():
    with pytest.raises(ValueError, match=r"divisor than 1\. Received: 44101 Hz"):
        tf_resample(np.zeros(10, "float32"), 44101, 32000)
