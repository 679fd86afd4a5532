import csv
import os

import numpy as np
import pytest

from keras_asit import audio
from keras_asit.data import event_shapes, synthetic

RATE = 16000
TINY = {"splits": {"train": 2, "test": 1}, "unlabelled": 3, "seconds": 0.25}


def bare_event(name, seed=0):
    """The event of a class alone, without background, 1 s long."""
    rng = np.random.default_rng(seed)
    return event_shapes.SHAPES[name](rng, np.arange(RATE) / RATE, RATE)


def spectrogram(wave):
    """Power [frames, bins]: Hann windows of 64 ms, every 32 ms."""
    frames = np.lib.stride_tricks.sliding_window_view(wave, 1024)[::512]
    return np.abs(np.fft.rfft(frames * np.hanning(1024))) ** 2


def centroid_slope(wave):
    power = spectrogram(wave)
    centroid = power @ np.arange(power.shape[1]) / power.sum(axis=1)
    return np.polyfit(np.arange(len(power)), centroid, 1)[0]


def rows_of(manifest):
    with open(manifest, newline="") as file:
        return list(csv.DictReader(file))


def contents(directory):
    return {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in directory.rglob("*.*")}


@pytest.mark.parametrize("name", synthetic.CLASS_NAMES)
def test_every_class_is_audible_and_in_range(name):
    for seed in range(5):
        wave = synthetic.sound_event(name, seed)
        assert wave.shape == (64000,) and wave.dtype == np.float32
        assert np.isfinite(wave).all()
        assert 0.4 < np.abs(wave).max() <= 1
        assert np.sqrt(np.mean(wave**2)) > 1e-3


def test_same_seed_same_samples_other_seed_other_samples():
    wave = synthetic.sound_event("bell", 7)
    np.testing.assert_array_equal(wave, synthetic.sound_event("bell", 7))
    assert not np.array_equal(wave, synthetic.sound_event("bell", 8))
    assert not np.array_equal(wave, synthetic.sound_event("tone", 7))


@pytest.mark.parametrize("name", synthetic.CLASS_NAMES)
@pytest.mark.parametrize(("rate", "seconds"), [(4000, 0.5), (8000, 0.1), (32000, 1.0)])
def test_other_rates_and_lengths(name, rate, seconds):
    wave = synthetic.sound_event(name, 0, rate, seconds)
    assert wave.shape == (round(rate * seconds),) and np.isfinite(wave).all()


def test_unknown_class_and_too_short_clip_are_refused():
    with pytest.raises(ValueError, match=r"one of tone, .*Received: 'dog'"):
        synthetic.sound_event("dog", 0)
    with pytest.raises(ValueError, match=r"at least 0\.1"):
        synthetic.sound_event("tone", 0, seconds=0.01)


@pytest.mark.parametrize("rate", [0, 1000, 3999, float("nan")])
def test_a_rate_too_low_for_the_pitches_is_refused(rate):
    with pytest.raises(ValueError, match=r"at least 4000.*Received: "):
        synthetic.sound_event("tone", 3, sample_rate=rate)


@pytest.mark.parametrize("seed", range(5))
def test_chirps_go_where_their_names_say(seed):
    assert centroid_slope(bare_event("chirp_up", seed)) > 1
    assert centroid_slope(bare_event("chirp_down", seed)) < -1


@pytest.mark.parametrize("seed", range(5))
def test_tone_has_one_peak_and_stack_has_many(seed):
    def peaks(name):
        power = spectrogram(bare_event(name, seed)).mean(axis=0)
        top = (power[1:-1] > power[:-2]) & (power[1:-1] > power[2:])
        return np.sum(top & (power[1:-1] > 0.003 * power.max()))

    assert peaks("tone") == 1
    assert peaks("harmonic_stack") >= 4


@pytest.mark.parametrize("seed", range(5))
def test_clicks_repeat_at_one_period(seed):
    envelope = np.abs(bare_event("click_train", seed))
    envelope = envelope.reshape(-1, 80).max(axis=1)  # 5 ms steps
    clicks = np.flatnonzero(envelope > 0.5 * envelope.max())
    gaps = np.diff(clicks)
    gaps = gaps[gaps > 2]
    assert len(gaps) >= 3 and np.ptp(gaps) <= 2


def test_noise_is_of_power_one_and_its_colour_varies():
    noises = [
        event_shapes.coloured_noise(np.random.default_rng(i), 16000, RATE)
        for i in range(8)
    ]
    np.testing.assert_allclose([np.mean(n**2) for n in noises], 1, rtol=1e-6)
    low = [spectrogram(n)[:, :64].sum() / spectrogram(n).sum() for n in noises]
    assert min(low) < 0.5 < 0.8 < max(low)


def test_dataset_round_trip(tmp_path):
    manifest = synthetic.write_dataset(tmp_path, **TINY)
    rows = rows_of(manifest)
    assert list(rows[0]) == ["path", "label", "split", "seed"]
    classes = len(synthetic.CLASS_NAMES)
    splits = [row["split"] for row in rows]
    assert [splits.count(s) for s in ("train", "test")] == [2 * classes, classes]
    hidden = [row for row in rows if row["split"] == "unlabelled"]
    assert len(hidden) == 3 and all(row["label"] == "" for row in hidden)
    assert len({row["seed"] for row in rows}) == len(rows)
    for row in rows[::7]:
        wave, rate = audio.read(tmp_path / row["path"])
        made = synthetic.sound_event(row["label"], int(row["seed"]), RATE, 0.25)
        assert rate == RATE
        np.testing.assert_allclose(wave, made, atol=2**-15)


def test_finished_set_is_left_alone(tmp_path):
    synthetic.write_dataset(tmp_path, **TINY)
    before = contents(tmp_path)
    synthetic.write_dataset(tmp_path, **TINY)
    assert contents(tmp_path) == before


def test_interrupted_set_is_completed_bit_for_bit(tmp_path, monkeypatch):
    whole = synthetic.write_dataset(tmp_path / "whole", **TINY)
    made = []

    def breaks_off(*arguments):
        made.append(arguments)
        if len(made) == 10:
            raise KeyboardInterrupt
        return event(*arguments)

    event = synthetic.sound_event
    monkeypatch.setattr(synthetic, "sound_event", breaks_off)
    with pytest.raises(KeyboardInterrupt):
        synthetic.write_dataset(tmp_path / "half", **TINY)
    assert not (tmp_path / "half" / "manifest.csv").exists()
    half = synthetic.write_dataset(tmp_path / "half", **TINY)
    assert len(made) == 10 + len(rows_of(half)) - 9
    assert half.read_bytes() == whole.read_bytes()
    for row in rows_of(whole):
        one, other = (p.parent / row["path"] for p in (whole, half))
        assert one.read_bytes() == other.read_bytes()
    os.remove(half.parent / row["path"])
    synthetic.write_dataset(tmp_path / "half", **TINY)
    assert (half.parent / row["path"]).is_file()


def test_more_clips_keep_the_earlier_ones_and_seeds_change_all(tmp_path):
    def paths(**options):
        manifest = synthetic.write_dataset(tmp_path, seconds=0.1, **options)
        return {row["path"] for row in rows_of(manifest)}

    few = paths(splits={"train": 1})
    assert few < paths(splits={"train": 2})
    assert few.isdisjoint(paths(splits={"train": 1}, seed=1))
