import numpy as np
import pytest
import soundfile

from keras_asit.audio import read
from keras_asit.audio.resampling import resample, resampled_length, span_to_resample

RATES = [
    (44100, 32000),
    (48000, 32000),
    (16000, 32000),
    (8000, 16000),
    (22050, 16000),
    (44100, 16000),
    (11025, 16000),
    (96000, 16000),
    (8000, 44100),
    (44101, 32000),  # in lowest terms as they stand
]


@pytest.mark.parametrize(("rate", "sample_rate"), RATES)
def test_a_part_is_the_slice_of_the_whole(tmp_path, rate, sample_rate):
    path = tmp_path / "a.wav"
    rng = np.random.default_rng(0)
    noise = rng.uniform(-0.9, 0.9, round(2.6 * rate))
    soundfile.write(path, noise, rate, subtype="FLOAT")
    whole, _ = read(path, sample_rate)
    spans = [(0.0, 0.3), (0.001, 0.1), (2.5, 0.2), (1.0, None), (2.599, None)]
    spans += [(rng.uniform(0, 2), rng.uniform(0.01, 1)) for _ in range(6)]
    for start, duration in spans:
        part, part_rate = read(path, sample_rate, start, duration)
        first = round(start * sample_rate)
        stop = None if duration is None else first + round(duration * sample_rate)
        assert part_rate == sample_rate
        assert len(part) == len(whole[first:stop])
        np.testing.assert_allclose(part, whole[first:stop], rtol=0, atol=2e-6)


def test_only_the_part_and_its_surroundings_are_decoded():
    # 44.1 to 32 kHz is 320 samples for 441: 32000 lies on 44100, and 128 samples of
    # the lower rate before it begin a span of 320 at 31680.
    first, count, skip = span_to_resample(32000, 32000, 44100, 32000)
    assert (first, skip) == (31680 * 441 // 320, 320)
    assert first + count == -(-(64000 + 128) * 441 // 320)
    # The beginning and the end of a file bound it.
    assert span_to_resample(100, None, 44100, 32000) == (0, None, 100)
    # 128 samples at 8 kHz are 256 at 16 kHz.
    assert span_to_resample(1000, 10, 8000, 16000) == (372, 261, 256)
    assert span_to_resample(1000, 10, 16000, 16000) == (1000, 10, 0)


@pytest.mark.parametrize(
    ("samples", "rate", "sample_rate", "expected"),
    [
        (441, 44100, 32000, 320),
        (442, 44100, 32000, 321),
        (1, 48000, 16000, 1),
        (4, 48000, 16000, 2),
        (5, 8000, 16000, 10),
        (16000, 16000, 16000, 16000),
    ],
)
def test_lengths_by_hand(samples, rate, sample_rate, expected):
    assert resampled_length(samples, rate, sample_rate) == expected
    wave = np.zeros(samples, "float32")
    assert len(resample(wave, rate, sample_rate)) == expected


def test_lengths_of_all_that_rounding_could_spoil():
    """A quotient of floats may lie just above the whole number that it is."""
    for rate, sample_rate in [*RATES, (44100, 48000), (24000, 22050)]:
        for samples in (rate // 10, rate // 5, rate, 3 * rate):
            wave = np.zeros(samples, "float32")
            expected = resampled_length(samples, rate, sample_rate)
            assert len(resample(wave, rate, sample_rate)) == expected
