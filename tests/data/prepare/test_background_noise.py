import numpy as np
import pytest
import soundfile

from keras_asit.data.prepare import background_noise as noise

RATE = 500


@pytest.fixture
def recordings(tmp_path):
    """Two recordings whose samples are all different: 20 s and 30 s."""
    folder = tmp_path / "_background_noise_"
    folder.mkdir()
    for name, first, seconds in (("hum", -32_000, 20), ("tap", 0, 30)):
        wave = np.arange(first, first + seconds * RATE).astype("int16")
        soundfile.write(folder / f"{name}.wav", wave, RATE, subtype="PCM_16")
    (folder / "README.md").touch()
    return folder


def draw(folder, seed=0, **counts):
    problems = []
    rng = np.random.default_rng(seed)
    return noise.draw_crops(folder, counts, rng, problems), problems


def test_crops_are_seconds_of_the_recordings(recordings, tmp_path):
    crops, problems = draw(recordings, train=40, valid=20)
    assert not problems
    noise.write_crops(crops, tmp_path / "out", False)
    files = {crop.name: tmp_path / "out" / crop.name for crop in crops}
    assert len(files) == len(list((tmp_path / "out").rglob("*.*"))) == 60
    for crop in crops:
        wave, rate = soundfile.read(files[crop.name], dtype="int16")
        whole, _ = soundfile.read(crop.recording, dtype="int16")
        assert rate == RATE
        assert soundfile.info(files[crop.name]).subtype == "PCM_16"
        np.testing.assert_array_equal(wave, whole[crop.start : crop.start + RATE])
    assert {crop.recording.stem for crop in crops} == {"hum", "tap"}


def test_training_and_validation_share_no_sample(recordings):
    """2 s of `hum` and 3 s of `tap` are for validation: 501 + 1001 starts."""
    crops, problems = draw(recordings, train=100, valid=1502)
    assert not problems
    assert len({(crop.recording, crop.start) for crop in crops}) == 1602
    for name, cut in (("hum", 18 * RATE), ("tap", 27 * RATE)):
        ours = [crop for crop in crops if crop.recording.stem == name]
        last = max(crop.start + RATE for crop in ours if crop.split == "train")
        starts = [crop.start for crop in ours if crop.split == "valid"]
        assert last <= cut == min(starts)
        assert max(starts) + RATE == cut * 10 // 9
    _, problems = draw(recordings, valid=1503)
    assert problems == [
        "expected background noise for 1,503 different seconds of valid, found that "
        "for 1,502"
    ]


def test_every_start_is_as_likely(recordings):
    """18 s - 1 s and 27 s - 1 s: `tap` gets 26/43 of the crops."""
    crops, _ = draw(recordings, train=5000)
    share = np.mean([crop.recording.stem == "tap" for crop in crops])
    assert share == pytest.approx(26 / 43, abs=0.02)


def test_the_same_seed_draws_the_same(recordings):
    assert draw(recordings, train=9) == draw(recordings, train=9)
    assert draw(recordings, train=9) != draw(recordings, seed=1, train=9)


def test_crops_that_are_there_are_kept_and_others_are_not_lost(
    recordings, tmp_path, problems_of
):
    crops, _ = draw(recordings, train=5)
    out = tmp_path / "out"
    noise.write_crops(crops, out, False)
    kept, other, broken, gone = (out / crop.name for crop in crops[:4])
    times = kept.stat().st_mtime_ns
    soundfile.write(other, np.zeros(RATE, "int16"), RATE)
    broken.write_text("not audio")
    gone.unlink()
    problems = problems_of(noise.write_crops, crops, out, False)
    assert len(problems) == 3
    assert crops[1].name in problems[0]
    assert crops[2].name in problems[1]
    assert not gone.exists()
    assert broken.read_text() == "not audio"
    noise.write_crops(crops, out, True)
    assert soundfile.read(other)[0].any()
    assert gone.exists()
    assert kept.stat().st_mtime_ns == times


def test_recordings_that_cannot_be_used(recordings, capsys):
    stereo = np.zeros((20 * RATE, 2), "int16")
    soundfile.write(recordings / "a.wav", stereo, RATE)
    soundfile.write(recordings / "b.wav", stereo[: 9 * RATE, 0], RATE)
    (recordings / "c.wav").write_text("not audio")
    _, problems = draw(recordings, train=1)
    assert len(problems) == 3
    assert "a.wav: expected one channel and 10 s or more, received 2" in problems[0]
    assert (
        "b.wav: expected one channel and 10 s or more, received 1 and 9.0 s"
        in (problems[1])
    )
    assert "c.wav: no readable audio" in problems[2]
