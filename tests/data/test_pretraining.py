import json
import os
import re
import warnings

import keras
import numpy as np
import pytest
import soundfile

from keras_asit.audio import LogMelFilterbank
from keras_asit.data import clips, draws, pretraining_dataset, read_manifest
from keras_asit.models import ASiTBackbone

SHORT = {"sample_rate": 8000, "crop_seconds": 0.25}
MEAN, STD = -4.2677393, 4.5689974  # of AudioSet (section 1 of the specification)


def batches(dataset):
    return [keras.ops.convert_to_numpy(batch) for batch in dataset]


def plain_loop(paths, seed, epoch, batch_size, views=2, samples=2000):
    """Views as the docstring has them, one clip after the other."""
    order = np.random.default_rng((seed, epoch)).permutation(len(paths))
    rows = []
    for index in order[: len(paths) // batch_size * batch_size]:
        key = draws.key(seed, epoch, index)
        wave = soundfile.read(paths[index], dtype="float32")[0]
        amount, chance = draws.uniforms(key, "shift", 2)
        if chance < 0.5:
            wave = np.roll(wave, int(amount * len(wave)))
        spare = len(wave) - samples + 1
        starts = [int(u * spare) for u in draws.uniforms(key, "crop", views)]
        rows.append([wave[start : start + samples] for start in starts])
    return np.reshape(rows, (-1, batch_size, views, samples))


def test_waveforms_equal_a_plain_loop_on_every_backend(write_clips):
    paths = write_clips(7)
    dataset = pretraining_dataset(paths, 3, seed=5, features="waveform", **SHORT)
    assert len(dataset) == 2
    for epoch in range(3):
        np.testing.assert_array_equal(
            batches(dataset), plain_loop(paths, seed=5, epoch=epoch, batch_size=3)
        )


def test_fbank_is_that_of_the_waveforms(write_clips):
    paths = write_clips(4)
    [waves] = batches(pretraining_dataset(paths, 4, features="waveform", **SHORT))
    [features] = batches(pretraining_dataset(paths, 4, **SHORT))
    assert features.shape == (4, 2, 16, 128)  # 23 frames, cut to whole patches
    assert features.dtype == "float32"
    frontend = LogMelFilterbank(8000, num_frames=16, mean=MEAN, std=STD)
    expected = frontend(waves.reshape(8, -1))
    expected = keras.ops.convert_to_numpy(expected).reshape(features.shape)
    np.testing.assert_allclose(features, expected, atol=2e-3)


def test_features_are_normalised_as_a_backbones_own(write_clips):
    """Else what was trained on them disagrees with predict_file and embed."""
    small = {"hidden_dim": 16, "num_layers": 1, "num_heads": 2, "mlp_dim": 16}
    frontend = ASiTBackbone((16, 128), **small).frontend
    assert (frontend.mean, frontend.std) == (MEAN, STD)
    options = {"shift_probability": 0.0, "crop_seconds": 0.18}
    one, other = (
        pretraining_dataset(write_clips(2), 2, frontend=layer, **options)
        for layer in (None, frontend)
    )
    np.testing.assert_allclose(batches(one), batches(other), atol=1e-6)


def test_default_frames_are_the_papers(write_clips):
    [views] = batches(pretraining_dataset(write_clips(1), 1))
    assert views.shape == (1, 2, 592, 128)


def test_frontend_decides_the_features(write_clips):
    frontend = LogMelFilterbank(
        8000, num_mel_bins=20, num_frames=24, mean=-4.0, std=4.0
    )
    dataset = pretraining_dataset(
        write_clips(2), 2, frontend=frontend, views=3, **SHORT
    )
    assert batches(dataset)[0].shape == (2, 3, 24, 20)


@pytest.mark.parametrize("workers", [1, 4])
def test_threads_change_nothing(write_clips, workers):
    paths = write_clips(6)
    one, other = (
        pretraining_dataset(paths, 2, features="waveform", workers=n, **SHORT)
        for n in (workers, 2)
    )
    for _ in range(2):
        np.testing.assert_array_equal(batches(one), batches(other))


def test_a_restored_position_gives_the_batches_to_come(write_clips):
    paths = write_clips(7)
    options = {"batch_size": 2, "features": "waveform", "workers": 2, **SHORT}
    dataset = pretraining_dataset(paths, **options)
    stream = [batch for _ in range(4) for batch in batches(dataset)]
    restored = pretraining_dataset(paths, **options)
    next(iter(restored))  # what was read ahead is forgotten
    restored.restore(json.loads(json.dumps(dataset.state(4))))
    for first in (4, 7):
        np.testing.assert_array_equal(batches(restored), stream[first : first + 3])


@pytest.mark.parametrize(
    "other", [{"views": 3}, {"shuffle": False}, {"shift_probability": 0.1}]
)
def test_a_position_is_refused_by_datasets_of_other_options(write_clips, other):
    paths = write_clips(4)
    state = pretraining_dataset(paths, 2, **SHORT).state(1)
    with pytest.raises(ValueError, match="Expected a position in this dataset"):
        pretraining_dataset(paths, 2, **other, **SHORT).restore(state)


def test_long_recordings_are_read_in_part(write_clips, monkeypatch):
    paths = write_clips(3, seconds=20.0)
    options = {"features": "waveform", "shift_probability": 0.5, **SHORT}
    found = batches(pretraining_dataset(paths, 3, **options))
    whole = batches(pretraining_dataset(paths, 3, cache=True, **options))
    np.testing.assert_array_equal(found, whole)
    monkeypatch.setattr(clips, "MOST_OF_A_CLIP", 0.0)  # never in part
    np.testing.assert_array_equal(
        batches(pretraining_dataset(paths, 3, **options)), found
    )


def test_a_look_takes_nothing_from_the_passes(write_clips):
    paths = write_clips(5)
    one, other = (pretraining_dataset(paths, 2, **SHORT) for _ in range(2))
    for _ in range(2):
        looked = keras.ops.convert_to_numpy(one.peek(2))
        assert looked.reshape(-1, 16, 128).shape == (4, 16, 128)
        np.testing.assert_array_equal(batches(one), batches(other))


def test_seeds_epochs_and_views_differ(write_clips):
    paths = write_clips(4)
    dataset = pretraining_dataset(paths, 4, features="waveform", **SHORT)
    other = pretraining_dataset(paths, 4, seed=1, features="waveform", **SHORT)
    [first], [second], [third] = batches(dataset), batches(dataset), batches(other)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, third)
    assert not np.array_equal(first[:, 0], first[:, 1])


def test_without_shuffle_clips_keep_their_order(write_clips):
    paths = write_clips(5)
    dataset = pretraining_dataset(
        paths, 2, features="waveform", shuffle=False, shift_probability=0.0,
        views=1, drop_remainder=False, cache=True, **{**SHORT, "crop_seconds": 1.0},
    )  # fmt: skip
    assert [len(batch) for batch in batches(dataset)] == [2, 2, 1]
    clips = np.concatenate(batches(dataset))
    for path, clip in zip(paths, clips):
        wave = soundfile.read(path, dtype="float32")[0]
        np.testing.assert_array_equal(clip[0], np.pad(wave, (0, 8000 - len(wave))))


def test_batches_have_static_shapes(write_clips):
    dataset = pretraining_dataset(write_clips(4), 2, **SHORT)
    if keras.backend.backend() == "tensorflow":
        assert tuple(dataset.element_spec.shape) == (2, 2, 16, 128)
    else:
        assert isinstance(dataset, keras.utils.PyDataset)


def test_a_broken_clip_is_replaced_and_reported_each_epoch(write_clips):
    paths = write_clips(20, broken=[4])
    dataset = pretraining_dataset(
        paths, 5, features="waveform", shuffle=False, shift_probability=0.0, **SHORT
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")  # which shows a text once
        views, _ = (np.concatenate(batches(dataset)) for _ in range(2))
    for epoch, warning in enumerate(caught, start=1):
        text = rf"epoch {epoch}: 1 of 20 clips(.|\n)*clip_004\.wav"
        assert re.match(text, str(warning.message))
    assert len(caught) == 2
    assert len(views) == 20
    following = soundfile.read(paths[5], dtype="float32")[0]
    windows = np.lib.stride_tricks.sliding_window_view(following, 2000)
    assert any(np.array_equal(window, views[4, 0]) for window in windows)
    assert not np.array_equal(views[4], views[5])


def test_a_seed_is_drawn_once_for_none(write_clips):
    """By the generator that layers without a seed follow."""
    paths, drawn = write_clips(4), []
    for random_seed in (1, 2, 1):
        keras.utils.set_random_seed(random_seed)
        dataset = pretraining_dataset(paths, 4, seed=None, features="waveform", **SHORT)
        drawn.append(batches(dataset) + batches(dataset))
    np.testing.assert_array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(*drawn[0])


def test_no_clips_at_all(write_clips):
    empty = read_manifest(os.path.dirname(write_clips(1)[0])).take([])
    with pytest.raises(ValueError, match=r"at least one clip\. Received: none"):
        pretraining_dataset(empty, 1, **SHORT)


def failure_of(dataset):
    """The text of the error that a pass over the dataset ends with."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(Exception) as error:
            batches(dataset)
    return str(error.value)


def test_too_many_broken_clips_end_the_epoch_clearly(write_clips):
    dataset = pretraining_dataset(write_clips(20, broken=[4, 8]), 5, **SHORT)
    text = failure_of(dataset)
    assert "2 of 20 clips could not be read" in text
    assert "10.0%, more than the 5.0%" in text
    assert "Traceback" not in text


def test_missing_files_raise_when_the_dataset_is_made(tmp_path):
    with pytest.raises(ValueError, match="10 of 10 clips could not be read"):
        pretraining_dataset([tmp_path / f"{i}.wav" for i in range(10)], 2)


def test_silence_gives_finite_views(tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(800), 8000)
    [views] = batches(pretraining_dataset([tmp_path / "silence.wav"], 1, **SHORT))
    assert np.isfinite(views).all()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"batch_size": 5}, "batch_size from 1 to the 4 clips"),
        ({"batch_size": 0}, "batch_size to be a whole number of 1 or more"),
        ({"batch_size": 2.5}, "Received: 2.5"),
        ({"views": 0}, "views to be a whole number of 1 or more"),
        ({"views": 1.5}, "Received: 1.5"),
        ({"crop_seconds": 0}, "crop of at least a sample"),
        ({"crop_seconds": 1e-6}, r"0.000125 seconds. Received: 1e-06"),
        ({"crop_seconds": float("nan")}, "Received: nan"),
        ({"sample_rate": 500}, "a whole number from 1000 to 768000. Received: 500"),
        ({"sample_rate": 8000.5}, "Received: 8000.5"),
        ({"shift_probability": 2}, r"shift_probability in \[0, 1\]"),
        ({"seed": -1}, r"of 0 or more, below 2\*\*63. Received: -1"),
        ({"seed": 0.5}, r"below 2\*\*63. Received: 0.5"),
        ({"seed": 2**63}, r"below 2\*\*63. Received: 9223372036854775808"),
        ({"features": "mel"}, '"fbank" or "waveform"'),
        ({"decoder": "ffmpeg"}, '"soundfile" or "tensorflow-io"'),
        ({"service": "grpc://localhost:1"}, "Expected shards at sample_rate"),
        ({"frontend": LogMelFilterbank(16000)}, "sample_rate=16000, the frontend's"),
    ],
)
def test_wrong_arguments(write_clips, options, message):
    with pytest.raises(ValueError, match=message):
        pretraining_dataset(write_clips(4), **{"batch_size": 2, **SHORT, **options})


def test_real_recordings(data_root):
    manifest = read_manifest(data_root / "esc10" / "manifest.csv").where(fold="1")
    dataset = pretraining_dataset(
        manifest.take(range(8)), 4, sample_rate=16000, crop_seconds=2.0
    )
    for views in batches(dataset):
        assert views.shape == (4, 2, 192, 128)
        assert np.isfinite(views).all()
