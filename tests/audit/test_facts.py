"""The facts of one clip."""

import math
import tracemalloc

import numpy as np
import pytest
import soundfile

from keras_asit.audio import AudioError
from keras_asit.audit import facts
from keras_asit.audit.facts import Facts, look_at, measure

pytestmark = pytest.mark.backend_free

RATE = 8000


def write(path, wave, rate=RATE, **format):
    soundfile.write(path, wave, rate, **format)
    return str(path)


def noise(samples=4000):
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, samples)
    return np.round(wave * 32768) / 32768


def test_values_by_hand(tmp_path):
    wave = np.array([0.25, 0.25, 0.5, 0.0] * 1000)  # mean 0.25
    path = write(tmp_path / "a.flac", np.stack([wave, wave], axis=1))
    found = measure(path)
    assert found.pop("audio") and found == {
        "rate": RATE,
        "channels": 2,
        "frames": 4000,
        "format": "FLAC PCM 16",
        "peak": 0.25,
        "rms": pytest.approx(math.sqrt(2 * 0.25**2 / 4), rel=1e-5),
        "clipped": 0.0,
    }


def test_the_peak_may_be_below_the_mean(tmp_path):
    wave = np.array([0.25, 0.25, 0.25, -0.75] * 100)  # mean 0
    assert measure(write(tmp_path / "a.wav", wave))["peak"] == 0.75


def test_long_clips_are_measured_in_blocks(tmp_path, monkeypatch):
    path = write(tmp_path / "a.wav", noise())
    whole = measure(path)
    monkeypatch.setattr(facts, "_BLOCK", 333)
    assert measure(path) == whole


def test_the_same_audio_has_one_hash(tmp_path):
    wave = noise()
    same = [
        write(tmp_path / "16.wav", wave, subtype="PCM_16"),
        write(tmp_path / "16.flac", wave, subtype="PCM_16"),
        write(tmp_path / "24.flac", wave, subtype="PCM_24"),
        write(tmp_path / "float.wav", wave, subtype="FLOAT"),
        write(tmp_path / "stereo.wav", np.stack([wave, wave], 1), subtype="PCM_16"),
    ]
    tagged = str(tmp_path / "tagged.flac")
    with soundfile.SoundFile(tagged, "w", RATE, 1, "PCM_16") as file:
        file.title = "another title"
        file.write(wave)
    hashes = {measure(path)["audio"] for path in [*same, tagged]}
    assert len(hashes) == 1
    others = [
        write(tmp_path / "faster.wav", wave, rate=2 * RATE, subtype="PCM_16"),
        write(tmp_path / "longer.wav", np.append(wave, 0.0), subtype="PCM_16"),
        write(tmp_path / "shifted.wav", np.roll(wave, 1), subtype="PCM_16"),
    ]
    hashes |= {measure(path)["audio"] for path in others}
    assert len(hashes) == 4


def test_negative_zero_is_zero(tmp_path):
    one = write(tmp_path / "1.wav", np.array([0.0, 0.5]), subtype="FLOAT")
    two = write(tmp_path / "2.wav", np.array([-0.0, 0.5]), subtype="FLOAT")
    assert measure(one)["audio"] == measure(two)["audio"]


def test_clipped_samples_are_counted_in_runs_on_one_side():
    top = facts.FULL_SCALE
    runs = [0, top, top, top, 0, -1, -1, -1, -1, 0]  # 3 and 4 of 10
    assert facts.clipped_share(np.array(runs)) == pytest.approx(0.7)
    short = [top, top, 0, -1, -1, 0, top, -1, top, 0]
    assert facts.clipped_share(np.array(short)) == 0
    below = np.full(10, top - 1e-4)
    assert facts.clipped_share(below) == 0


def test_a_loud_tone_is_not_clipped_and_an_overdriven_one_is(tmp_path):
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    assert measure(write(tmp_path / "1.wav", tone * 32767 / 32768))["clipped"] == 0
    over = measure(write(tmp_path / "2.wav", np.clip(2 * tone, -1, 1)))
    assert over["clipped"] == pytest.approx(2 / 3, abs=0.05)  # |sin| above a half
    eight = write(tmp_path / "3.wav", np.clip(2 * tone, -1, 1), subtype="PCM_U8")
    assert measure(eight)["clipped"] == pytest.approx(2 / 3, abs=0.05)


@pytest.mark.parametrize("subtype", ["ULAW", "ALAW", "PCM_U8"])
def test_full_scale_is_that_of_the_coding(tmp_path, subtype):
    tone = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    over = write(tmp_path / "1.wav", np.clip(2 * tone, -1, 1), subtype=subtype)
    assert measure(over)["clipped"] == pytest.approx(2 / 3, abs=0.05)
    below = write(tmp_path / "2.wav", 0.9 * tone, subtype=subtype)
    assert measure(below)["clipped"] == 0


@pytest.mark.parametrize("block", [1, 2, 3, 7, 100])
def test_clipped_samples_are_counted_in_blocks(monkeypatch, block):
    wave = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], 500, p=[0.4, 0.1, 0.5])
    whole = facts.clipped_share(wave)
    monkeypatch.setattr(facts, "_BLOCK", block)
    assert facts.clipped_share(wave) == whole > 0.3


def test_a_long_clip_takes_little_more_than_its_samples(tmp_path, monkeypatch):
    path = write(tmp_path / "a.wav", np.ones(1_000_000), subtype="PCM_16")
    monkeypatch.setattr(facts, "_BLOCK", 1 << 12)
    wave, rate = facts.read(path)
    monkeypatch.setattr(facts, "read", lambda path: (wave, rate))
    tracemalloc.start()
    assert measure(path)["clipped"] == 1
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < wave.nbytes / 8


def test_look_at(tmp_path):
    path = write(tmp_path / "a.wav", noise())
    found = look_at(path)
    assert found["frames"] == 4000
    stamp = found["size"], found["mtime"]
    assert look_at(path, stamp) == "known"
    assert look_at(path, (stamp[0], stamp[1] - 1))["frames"] == 4000
    assert look_at(str(tmp_path / "absent.wav")) is None
    assert look_at(str(tmp_path / "a.wav" / "b.wav")) is None


def test_a_broken_file_is_looked_at_once(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"not audio")
    found = look_at(str(path))
    assert found["error"] and found["size"] == 9 and "passing" not in found


@pytest.mark.parametrize("failure", [MemoryError("much"), RuntimeError("odd")])
def test_what_may_pass_is_looked_at_again(tmp_path, monkeypatch, failure):
    def fail(path):
        raise failure

    path = write(tmp_path / "a.wav", noise())
    monkeypatch.setattr(facts, "measure", fail)
    found = look_at(path)
    assert found["passing"] and str(failure) in found["error"]


def test_the_storage_is_not_the_file(tmp_path, monkeypatch):
    def fail(path):
        raise AudioError(path, "cannot be opened") from OSError(5, "I/O error")

    path = write(tmp_path / "a.wav", noise())
    monkeypatch.setattr(facts, "measure", fail)
    assert look_at(path)["passing"]


def test_a_path_that_the_system_refuses():
    assert "null" in look_at("a\0b.wav")["error"]


def test_table():
    table = Facts(["/x/a.wav", "/x/b.wav", "/y/c.wav"], "/x")
    assert [table.name(row) for row in range(3)] == ["a.wav", "b.wav", "/y/c.wav"]
    assert [table.key(row) for row in range(3)] == table.paths
    good = {
        "size": 5,
        "mtime": 7,
        "rate": 8000,
        "channels": 1,
        "frames": 4000,
        "format": "WAV PCM 16",
        "peak": 0.5,
        "rms": 0.25,
        "clipped": 0.0,
        "audio": "ff" * 8,
    }
    table.set(0, {"path": "a.wav", **good})
    table.set(1, {"size": 1, "mtime": 2, "error": "is empty"})
    assert table.good.tolist() == [True, False, False]
    assert table.seconds.tolist() == [0.5, 0, 0]
    assert [table.stamp(row) for row in range(3)] == [(5, 7), (1, 2), None]
    assert table.formats == ["WAV PCM 16"] and table.reasons == {1: "is empty"}
    table.copy(1, 2)
    assert table.reasons[2] == "is empty"
    table.set(1, None)
    assert table.reasons == {2: "is empty"}
    assert table.table["state"].tolist() == [facts.GOOD, facts.MISSING, facts.BROKEN]
    table.forget(0)
    assert table.stamp(0) is None and table.seconds[0] == 0
