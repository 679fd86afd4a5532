import itertools

import keras
import numpy as np
import pytest
import soundfile

from keras_asit import data
from keras_asit.audio import LogMelFilterbank
from keras_asit.training import SmallModel, clip_log_mel, normalisation

RATES = (8000, 11025, 16000, 22050, 32000, 44100)
SECONDS = (0.4, 0.5, 0.8, 1.3, 2.0, 2.4, 2.5, 4.0, 5.1, 6.0)
CROPS = list(itertools.product(RATES, SECONDS))[::3]  # every rate, every length


@pytest.mark.parametrize(("rate", "seconds"), CROPS)
def test_frames_fill_the_crop(rate, seconds):
    model = SmallModel(sample_rate=rate, crop_seconds=seconds)
    frontend, crop = model.frontend(), round(rate * seconds)
    assert frontend.num_frames == model.num_frames
    assert frontend.frames(crop) >= model.num_frames, "padded"
    unused = crop - frontend.samples(model.num_frames)
    assert 0 <= unused < model.num_frames


@pytest.mark.parametrize(("rate", "seconds"), CROPS)
def test_frames_leave_no_gap(rate, seconds):
    """A short click anywhere in the crop changes the log-mel."""
    frontend = SmallModel(sample_rate=rate, crop_seconds=seconds).frontend()
    one_more = frontend.samples(2) - frontend.samples(1)
    assert one_more <= frontend.samples(1)
    assert frontend.samples(1) >= int(0.025 * rate)


@pytest.mark.large_on_jax
def test_frontend_makes_what_the_backbone_takes():
    model = SmallModel(8000, 0.5, num_frames=32, num_mel_bins=32, hidden_dim=16)
    frontend = model.frontend(mean=-4.0, std=2.0)
    crop = np.random.default_rng(0).uniform(-1, 1, (2, 4000)).astype("float32")
    features = frontend(crop)
    assert tuple(features.shape) == (2, 32, 32)
    backbone = model.backbone(frontend)
    assert backbone.frontend is frontend
    assert tuple(backbone(features).shape) == (2, 1 + 4, 16)


@pytest.mark.parametrize(
    "sizes", [{"num_frames": 1}, {"sample_rate": 0}, {"num_layers": -1}]
)
def test_sizes_too_small_are_refused(sizes):
    ((name, size),) = sizes.items()
    with pytest.raises(ValueError, match=f"Expected {name} of at .*Received: {size}"):
        SmallModel(**sizes)


def test_random_weights_know_where_a_patch_is():
    """Low and high bins swapped tell apart, beside two spectrograms of noise."""
    model = SmallModel()
    backbone = model.backbone(model.frontend())
    here, there = np.random.default_rng(0).normal(size=(2, 1, 64, 64)).astype("float32")
    swapped = np.roll(here, 32, axis=-1)
    class_token = [
        keras.ops.convert_to_numpy(backbone(x))[0, 0] for x in (here, swapped, there)
    ]
    moved, other = (np.linalg.norm(class_token[0] - x) for x in class_token[1:])
    assert moved > 0.1 * other  # 0.01 with positions of deviation 0.02


def test_the_crops_have_every_rate_and_length():
    assert {rate for rate, _ in CROPS} == set(RATES)
    assert {seconds for _, seconds in CROPS} == set(SECONDS)


@pytest.fixture
def clips(tmp_path):
    """Four clips of 0.5 to 0.8 s at 8 kHz."""
    for i in range(4):
        wave = np.random.default_rng(i).normal(0, 0.01 * 3**i, 4000 + 800 * i)
        soundfile.write(tmp_path / f"{i}.wav", np.clip(wave, -1, 1), 8000)
    return tmp_path


def values_of(clip, frontend):
    wave, _ = soundfile.read(clip, dtype="float32")
    plain = LogMelFilterbank(
        sample_rate=frontend.sample_rate,
        num_mel_bins=frontend.num_mel_bins,
        frame_length_ms=frontend.frame_length_ms,
        frame_shift_ms=frontend.frame_shift_ms,
    )
    return keras.ops.convert_to_numpy(plain(wave)).ravel()


@pytest.mark.large_on_jax
@pytest.mark.parametrize("samples", [100, 200, 5000, 8000, 8001])
def test_log_mel_of_a_whole_clip(samples):
    """As the filterbank makes it, though zeros are added on the way."""
    frontend = LogMelFilterbank(8000, 32, mean=-4.0, std=2.0)
    rng = np.random.default_rng(0)
    wave = 0.5 + 0.1 * rng.uniform(-1, 1, samples).astype("float32")
    log_mel = clip_log_mel(wave, frontend)
    assert log_mel.shape == (frontend.frames(samples), 32)
    if len(log_mel):
        np.testing.assert_allclose(log_mel, np.array(frontend(wave)), atol=1e-3)


@pytest.mark.large_on_jax
def test_normalisation_is_numpys_mean_and_deviation(clips):
    frontend = SmallModel(8000, 0.5, num_mel_bins=32).frontend(mean=100.0, std=7.0)
    mean, std = normalisation(data.read_manifest(clips), frontend)
    values = np.concatenate([values_of(c, frontend) for c in sorted(clips.iterdir())])
    assert mean == pytest.approx(values.mean(), abs=1e-4)
    assert std == pytest.approx(values.std(), abs=1e-4)


@pytest.mark.large_on_jax
def test_normalised_clips_have_mean_0_and_deviation_a_half(clips):
    model = SmallModel(8000, 0.5, num_mel_bins=32)
    manifest = data.read_manifest(clips).take([1])
    frontend = model.frontend(*normalisation(manifest, model.frontend()))
    config = {**frontend.get_config(), "num_frames": None}
    wave, _ = soundfile.read(manifest.paths[0], dtype="float32")
    features = np.array(LogMelFilterbank.from_config(config)(wave))
    assert features.mean() == pytest.approx(0.0, abs=1e-4)
    assert features.std() == pytest.approx(0.5, abs=1e-4)


@pytest.mark.large_on_jax
def test_normalisation_looks_at_clips_that_the_seed_chooses(clips):
    frontend = SmallModel(8000, 0.5, num_mel_bins=32).frontend()
    manifest = data.read_manifest(clips)
    one = {
        round(normalisation(manifest, frontend, clips=1, seed=seed)[0], 3)
        for seed in range(6)
    }
    assert len(one) > 1
    first = normalisation(manifest, frontend, clips=1, seed=3)
    assert first == normalisation(manifest, frontend, clips=1, seed=3)


@pytest.mark.large_on_jax
def test_normalisation_passes_over_broken_and_too_short_clips(clips):
    frontend = SmallModel(8000, 0.5, num_mel_bins=32).frontend()
    whole = normalisation(data.read_manifest(clips), frontend)
    (clips / "4.wav").write_text("not audio")
    soundfile.write(clips / "5.wav", np.ones(100), 8000)
    assert normalisation(data.read_manifest(clips), frontend) == pytest.approx(whole)


def test_normalisation_of_silence_is_finite(tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(8000), 8000)
    model = SmallModel(8000, 0.5, num_mel_bins=32)
    mean, std = normalisation(data.read_manifest(tmp_path), model.frontend())
    assert np.isfinite(mean)
    assert std > 0


def test_normalisation_without_a_readable_clip(tmp_path):
    (tmp_path / "broken.wav").write_text("not audio")
    with pytest.raises(ValueError, match=r"No clip could be read(.|\n)*broken\.wav"):
        normalisation(data.read_manifest(tmp_path), SmallModel().frontend())


def test_normalisation_of_clips_shorter_than_a_frame(tmp_path):
    for i in range(2):
        soundfile.write(tmp_path / f"{i}.wav", np.ones(100), 8000)
    frontend = SmallModel(8000, 0.5, num_mel_bins=32).frontend()
    with pytest.raises(ValueError, match=r"frame of 25 ms\. Received: 2 clips, all"):
        normalisation(data.read_manifest(tmp_path), frontend)
