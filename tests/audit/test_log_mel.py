"""The mean and deviation of the log-mel, against plain numpy."""

import numpy as np
import pytest
import soundfile

from keras_asit.audio import LogMelFilterbank
from keras_asit.audio.filterbank import mel_weights
from keras_asit.audit import log_mel
from keras_asit.audit.facts import Facts, look_at
from keras_asit.audit.log_mel import (
    PIECE_FRAMES,
    PIECES,
    bin_centres,
    describe_log_mel,
    journal_header,
    moments_of_clips,
)

RATE = 8000
LENGTH, SHIFT, FFT = 200, 80, 256  # samples: 25 ms, 10 ms


def reference(wave, bins=128):
    """The log-mel `[T, F]` of a clip, frame by frame in float64."""
    rows = []
    for start in range(0, len(wave) - LENGTH + 1, SHIFT):
        frame = wave[start : start + LENGTH].astype("float64")
        frame = frame - frame.mean()
        frame = np.append(frame[0] * 0.03, frame[1:] - 0.97 * frame[:-1])
        power = np.abs(np.fft.rfft(frame * np.hanning(LENGTH), FFT)) ** 2
        weights = mel_weights(bins, FFT, RATE, 20.0, RATE / 2).astype("float64")
        rows.append(np.log(np.maximum(power @ weights, np.finfo("float32").eps)))
    return np.reshape(rows, (-1, bins))


def noise(samples, seed=0):
    rng = np.random.default_rng(seed)
    return (0.1 + 0.2 * rng.normal(size=samples)).clip(-1, 1).astype("float32")


def frames_to_samples(frames):
    return LENGTH + (frames - 1) * SHIFT


@pytest.fixture
def small():
    return LogMelFilterbank(RATE, num_mel_bins=16)


def test_moments_are_those_of_each_clip(small):
    """Clips shorter than a frame, of whole pieces, of one frame more, of many calls."""
    frames = [0, 1, PIECE_FRAMES - 1, PIECE_FRAMES, PIECE_FRAMES + 1, 3, 0, 700]
    frames.append(PIECES * PIECE_FRAMES + 5)
    waves = [
        noise(frames_to_samples(n) if n else LENGTH - 1, seed)
        for seed, n in enumerate(frames)
    ]
    waves[3] = waves[3][:-1]  # a sample less is a frame less
    frames[3] -= 1
    found = moments_of_clips(iter(waves), small)
    assert [moments.count for moments in found] == frames
    for wave, moments in zip(waves, found, strict=True):
        if moments.count:
            expected = reference(wave, bins=16)
            np.testing.assert_allclose(moments.mean, expected.mean(axis=0), atol=1e-4)
            np.testing.assert_allclose(moments.std, expected.std(axis=0), atol=1e-4)


def write(folder, waves):
    paths = []
    for i, wave in enumerate(waves):
        paths.append(str(folder / f"{i}.wav"))
        soundfile.write(paths[-1], wave, RATE, subtype="FLOAT")
    facts = Facts(paths, str(folder))
    for row, path in enumerate(paths):
        facts.set(row, look_at(path))
    return facts


def describe(folder, facts, rows=None, sample_rate=RATE):
    rows = np.arange(len(facts.paths)) if rows is None else np.array(rows)
    return describe_log_mel(
        folder / "log_mel.jsonl", facts, rows, len(facts.paths), sample_rate, 2, False
    )


def test_mean_and_std_over_all_frames_and_bins(tmp_path):
    """Long clips count by their frames; padding and unread clips do not count."""
    waves = [noise(n, n) for n in (300, 900, 5000, 12_000, 100)]
    waves[1] *= 0.01
    found = describe(tmp_path, write(tmp_path, waves))
    values = np.concatenate([reference(wave) for wave in waves])
    assert found["clips"] == 4 and found["of_clips"] == 5
    assert found["frames"] == len(values)
    assert found["mean"] == pytest.approx(values.mean(), abs=1e-4)
    assert found["std"] == pytest.approx(values.std(), abs=1e-4)
    np.testing.assert_allclose(found["bins"]["mean"], values.mean(axis=0), atol=2e-4)
    np.testing.assert_allclose(found["bins"]["std"], values.std(axis=0), atol=2e-4)


@pytest.mark.large_on_jax
def test_clips_are_resampled_to_the_rate(tmp_path):
    facts = write(tmp_path, [noise(8000)])
    frames = 1 + (4 * 8000 - 800) // 320
    assert describe(tmp_path, facts, sample_rate=4 * RATE)["frames"] == frames


def test_what_was_measured_is_kept(tmp_path, monkeypatch):
    facts = write(tmp_path, [noise(3000, seed) for seed in range(40)])
    whole = describe(tmp_path, facts)
    lines = (tmp_path / "log_mel.jsonl").read_bytes()
    half = b"".join(lines.splitlines(keepends=True)[:21])
    (tmp_path / "log_mel.jsonl").write_bytes(half + lines[len(half) :][:40])
    read = []

    def counted(path, rate):
        read.append(path)
        return real(path, rate)

    real = log_mel.read
    monkeypatch.setattr(log_mel, "read", counted)
    assert describe(tmp_path, facts) == whole
    assert sorted(read) == sorted(facts.paths[20:])
    assert describe(tmp_path, facts) == whole and len(read) == 20
    facts.table["mtime"][3] += 1  # the file has changed
    assert describe(tmp_path, facts) == whole and len(read) == 21


@pytest.mark.backend_free
def test_values_of_another_filterbank_are_not_taken():
    made = [
        LogMelFilterbank(RATE),
        LogMelFilterbank(2 * RATE),
        LogMelFilterbank(RATE, num_mel_bins=64),
        LogMelFilterbank(RATE, frame_shift_ms=12.5),
        LogMelFilterbank(RATE, low_freq=50.0),
    ]
    headers = [journal_header(frontend) for frontend in made]
    assert len(set(map(str, headers))) == 5
    assert journal_header(LogMelFilterbank(RATE, mean=1.0, std=2.0)) == headers[0]


def test_clips_that_go_away_meanwhile(tmp_path):
    facts = write(tmp_path, [noise(3000, seed) for seed in range(3)])
    (tmp_path / "1.wav").unlink()
    assert describe(tmp_path, facts)["clips"] == 2
    (tmp_path / "0.wav").write_bytes(b"RIFF")
    (tmp_path / "2.wav").write_bytes(b"")
    facts.table["mtime"] += 1
    assert describe(tmp_path, facts) is None


@pytest.mark.backend_free
def test_centres_of_bins():
    centres = bin_centres(LogMelFilterbank(RATE, num_mel_bins=3, low_freq=100.0))
    weights = mel_weights(3, 1 << 16, RATE, 100.0, RATE / 2)
    peaks = weights.argmax(axis=0) * RATE / (1 << 16)
    np.testing.assert_allclose(centres, peaks, atol=0.2)
