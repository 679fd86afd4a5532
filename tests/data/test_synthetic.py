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


def centroid(wave):
    """The mean bin of each frame."""
    power = spectrogram(wave)
    return power @ np.arange(power.shape[1]) / power.sum(axis=1)


def level(wave):
    """Root mean square in steps of 10 ms."""
    return np.sqrt(np.mean(wave.reshape(-1, 160) ** 2, axis=1))


def swing(track):
    """How far the middle half of a track strays from its mean, relative to it."""
    middle = track[len(track) // 4 : -(len(track) // 4)]
    return middle.std() / middle.mean()


def beat(track):
    """Periods of a track's strongest wave, and the share of power that it has."""
    power = np.abs(np.fft.rfft((track - track.mean()) * np.hanning(len(track)))) ** 2
    line = power.argmax()
    return line, power[max(0, line - 1) : line + 2].sum() / power.sum()


def noisiness(wave):
    """Flatness of the spectrum near its maximum: about 0.56 for noise, 0 for tones."""
    power = spectrogram(wave)
    loud = power[power.sum(axis=1) > 0.1 * power.sum(axis=1).max()]
    top = loud.sum(axis=0).argmax()
    near = loud[:, max(0, top - 12) : top + 12] + 1e-12 * loud.max()
    return np.mean(np.exp(np.log(near).mean(axis=1)) / near.mean(axis=1))


def peaks(power):
    """How many peaks a power spectrum has that are not below -25 dB."""
    top = (power[1:-1] > power[:-2]) & (power[1:-1] > power[2:])
    return np.sum(top & (power[1:-1] > 0.003 * power.max()))


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
    def slope(name):
        track = centroid(bare_event(name, seed))
        return np.polyfit(np.arange(len(track)), track, 1)[0]

    assert slope("chirp_up") > 1
    assert slope("chirp_down") < -1


@pytest.mark.parametrize("seed", range(5))
def test_tone_has_one_peak_and_stack_has_many(seed):
    def count(name):
        return peaks(spectrogram(bare_event(name, seed)).mean(axis=0))

    assert count("tone") == 1
    assert count("harmonic_stack") >= 4


@pytest.mark.parametrize("seed", range(5))
def test_clicks_repeat_at_one_period(seed):
    envelope = np.abs(bare_event("click_train", seed))
    envelope = envelope.reshape(-1, 80).max(axis=1)  # 5 ms steps
    clicks = np.flatnonzero(envelope > 0.5 * envelope.max())
    gaps = np.diff(clicks)
    gaps = gaps[gaps > 2]
    assert len(gaps) >= 3 and np.ptp(gaps) <= 2


@pytest.mark.parametrize("seed", range(5))
def test_noise_burst_is_noise_that_dies_away(seed):
    burst = bare_event("noise_burst", seed)
    envelope = level(burst)
    assert envelope.argmax() < 20 and envelope[70:].max() < 0.2 * envelope.max()
    assert noisiness(burst) > 0.15


@pytest.mark.parametrize("seed", range(5))
def test_amplitude_modulation_swings_in_level_at_a_steady_pitch(seed):
    wave = bare_event("amplitude_modulation", seed)
    periods, share = beat(level(wave))
    assert 3 <= periods <= 16 and share > 0.6
    assert swing(level(wave)) > 0.5 and swing(centroid(wave)) < 0.1


@pytest.mark.parametrize("seed", range(5))
def test_frequency_modulation_swings_in_pitch_at_a_steady_level(seed):
    wave = bare_event("frequency_modulation", seed)
    periods, share = beat(centroid(wave))
    assert 3 <= periods <= 12 and share > 0.8
    assert swing(level(wave)) < 0.05 < swing(centroid(wave))
    assert noisiness(bare_event("tone", seed)) < 0.01


@pytest.mark.parametrize("seed", range(5))
def test_harmonic_glide_is_a_stack_that_comes_back(seed):
    wave = bare_event("harmonic_glide", seed)
    octaves = np.log2(centroid(wave))
    away = np.abs(octaves - octaves[0])
    assert away.max() > 0.3 and 8 < away.argmax() < 20
    assert away[-1] < 0.6 * away.max()
    assert swing(level(wave)) < 0.1 and peaks(spectrogram(wave)[len(octaves) // 2]) >= 3


@pytest.mark.parametrize("seed", range(5))
def test_band_noise_is_steady_and_has_a_width(seed):
    wave = bare_event("band_noise", seed)
    assert swing(level(wave)) < 0.35 and noisiness(wave) > 0.02
    power = np.cumsum(spectrogram(wave).sum(axis=0))
    low, high = np.searchsorted(power, [0.05 * power[-1], 0.95 * power[-1]])
    assert 0.3 < np.log2(high / low) < 2


@pytest.mark.parametrize("seed", range(5))
def test_bell_sets_in_at_once_and_its_high_partials_fade_sooner(seed):
    wave = bare_event("bell", seed)
    envelope, octaves = level(wave), np.log2(centroid(wave))
    assert envelope.argmax() < 5 and envelope[90:].max() < 0.2 * envelope.max()
    assert octaves[0] - octaves[-1] > 0.2 and noisiness(wave) < 0.1


@pytest.mark.parametrize("seed", range(5))
def test_beeps_take_turns_between_two_pitches(seed):
    wave = bare_event("beeps", seed)
    sounds = level(wave) > 0.2 * level(wave).max()
    edges = 160 * np.flatnonzero(np.diff(sounds.astype(int), prepend=0, append=0))
    pitches = np.log2(
        [
            np.abs(np.fft.rfft(wave[start:end], RATE)).argmax()
            for start, end in edges.reshape(-1, 2)
        ]
    )
    assert 4 <= len(pitches) <= 12
    assert np.ptp(pitches[::2]) < 0.1 > np.ptp(pitches[1::2])
    assert abs(pitches[0] - pitches[1]) > 0.2


def test_scenes_have_a_background_0_to_20_decibels_below_the_event():
    ratios = []
    for seed in range(40):
        # The same draws make the event first, so that the rest is background.
        arguments = (event_shapes.tone, round(1.3 * RATE), RATE)
        event = synthetic._place(np.random.default_rng(seed), *arguments)
        scene = synthetic._scene(np.random.default_rng(seed), *arguments)
        noise = scene / (scene @ event / (event @ event)) - event
        ratios.append(-10 * np.log10(np.mean(noise**2)))
    assert -0.5 < min(ratios) < 3 and 17 < max(ratios) < 20.5


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


@pytest.mark.parametrize(
    "text",
    [
        "",
        "path,label,fold\ndog/1.wav,dog,1\n",
        "path,label,split,seed\ntrain/1.wav,dog,train,3\n",
    ],
    ids=["empty", "columns", "clips"],
)
def test_a_manifest_of_other_clips_stays(tmp_path, text):
    (tmp_path / "manifest.csv").write_text(text)
    with pytest.raises(ValueError, match=r"Expected .*Received: .*Give another"):
        synthetic.write_dataset(tmp_path, **TINY)
    assert (tmp_path / "manifest.csv").read_text() == text
    assert os.listdir(tmp_path) == ["manifest.csv"]


def test_more_clips_keep_the_earlier_ones_and_seeds_change_all(tmp_path):
    def paths(**options):
        manifest = synthetic.write_dataset(tmp_path, seconds=0.1, **options)
        return {row["path"] for row in rows_of(manifest)}

    few = paths(splits={"train": 1})
    assert few < paths(splits={"train": 2})
    assert few.isdisjoint(paths(splits={"train": 1}, seed=1))
