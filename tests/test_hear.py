"""The rules of HEAR's common API, as hear-validator and heareval rely on them."""

import importlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

import keras_asit
from keras_asit import embed, hear, presets
from keras_asit.models import ASiTClassifier
from tiny_asit import BINS, FRAMES, PATCH, RATE, SAMPLES, shake, tiny_backbone

LIBRARIES = ["numpy", "backend", "torch"]


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    backbone = tiny_backbone()
    shake(backbone.weights)
    directory = tmp_path_factory.mktemp("hear") / "preset"
    presets.save(backbone, directory)
    return directory


@pytest.fixture(scope="module")
def model(preset):
    return hear.load_model(str(preset))


def noise(sounds, samples, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-1, 1, (sounds, samples)).astype("float32")


def as_tensor(array, library):
    if library == "torch":
        return pytest.importorskip("torch").from_numpy(array)
    return ops.convert_to_tensor(array) if library == "backend" else array


def at_rate(sample_rate):
    """A backbone of a rate."""
    frontend = keras_asit.audio.LogMelFilterbank(
        sample_rate, num_mel_bins=BINS, num_frames=FRAMES, mean=-4.0, std=4.5
    )
    return tiny_backbone(frontend=frontend)


# The model.


def test_the_attributes_that_hear_asks_for(model):
    assert model.sample_rate == RATE
    sizes = (model.scene_embedding_size, model.timestamp_embedding_size)
    assert sizes == (32, 32)
    assert all(type(size) is int for size in sizes)


def test_it_is_a_module_of_the_library_at_hand(model):
    if keras.backend.backend() == "tensorflow":
        assert isinstance(model, importlib.import_module("tensorflow").Module)
    else:
        torch = pytest.importorskip("torch")
        assert isinstance(model, torch.nn.Module)
        assert model.to("cpu") is model


@pytest.mark.parametrize(
    "own, expected",
    [(16000, 16000), (32000, 32000), (24000, 32000), (8000, 16000), (96000, 48000)],
)
def test_the_rate_is_one_of_hears(own, expected, tmp_path):
    presets.save(at_rate(own), tmp_path / "preset")
    assert hear.load_model(tmp_path / "preset").sample_rate == expected


def test_a_classifier_is_its_backbone(model, tmp_path):
    classifier = ASiTClassifier(model.backbone, num_classes=3)
    presets.save(classifier, tmp_path / "preset")
    loaded = hear.load_model(tmp_path / "preset", pooling="cls+mean")
    assert (loaded.scene_embedding_size, loaded.timestamp_embedding_size) == (64, 32)
    audio = noise(2, RATE)
    assert hear.get_scene_embeddings(audio, loaded).shape == (2, 64)
    assert hear.get_timestamp_embeddings(audio, loaded)[0].shape[2] == 32


def test_a_path_is_needed():
    with pytest.raises(ValueError, match="no weights are shipped"):
        hear.load_model()
    with pytest.raises(ValueError, match="Unknown preset 'nowhere'"):
        hear.load_model("nowhere")


@pytest.mark.parametrize(
    "argument", [{"sample_rate": 0}, {"pooling": "max"}, {"batch_size": 0}]
)
def test_arguments_out_of_range(preset, argument):
    [(name, value)] = argument.items()
    with pytest.raises(ValueError, match=f"{name}={value!r}"):
        hear.load_model(preset, **argument)


# Scenes.


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("seconds", [0.3, 2.74])
def test_scenes_are_the_clips_of_embed(model, library, seconds):
    audio = noise(4, int(seconds * RATE))
    given = as_tensor(audio, library)
    result = hear.get_scene_embeddings(given, model)
    assert type(result) is type(given)
    result = np.asarray(result)
    assert result.dtype == "float32" and result.shape == (4, 32)
    assert np.array_equal(result, embed(model.backbone, audio, RATE))
    assert np.array_equal(result, hear.get_scene_embeddings(audio, model))


# Timestamps.


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("seconds", [1.07, 1.98])
def test_timestamps_are_as_the_validator_wants_them(model, library, seconds):
    given = as_tensor(noise(2, int(seconds * RATE)), library)
    embeddings, timestamps = hear.get_timestamp_embeddings(given, model)
    assert type(embeddings) is type(timestamps) is type(given)
    embeddings, timestamps = np.asarray(embeddings), np.asarray(timestamps)
    assert embeddings.dtype == "float32" and timestamps.dtype.kind == "f"
    assert embeddings.shape == (2, timestamps.shape[1], 32)
    np.testing.assert_array_equal(*timestamps)
    steps = np.diff(timestamps)
    np.testing.assert_allclose(steps, 40.0, atol=1e-3)
    assert 0 <= timestamps.min() < 40
    assert 1000 * seconds - 40 <= timestamps.max() < 1000 * seconds
    again = hear.get_timestamp_embeddings(given, model)
    assert np.array_equal(np.asarray(again[0]), embeddings)


def test_timestamps_by_hand(model):
    """Patches of 16 frames are 175 ms long, 160 ms apart: centres 80 ms earlier."""
    _, timestamps = hear.get_timestamp_embeddings(noise(1, RATE // 4), model)
    assert timestamps.tolist() == [[7.5, 47.5, 87.5, 127.5, 167.5, 207.5, 247.5]]


def test_one_pass_is_the_frames_of_embed(model):
    audio = noise(2, 2 * SAMPLES)
    embeddings, timestamps = hear.get_timestamp_embeddings(audio, model, hop_size=None)
    expected, seconds = embed(model.backbone, audio, RATE, level="frame")
    assert np.array_equal(embeddings, expected)
    np.testing.assert_allclose(timestamps, [1000 * seconds] * 2)


def test_passes_are_interleaved(model):
    """Each fourth embedding is of the frames of the sound begun two hops earlier."""
    audio, hop = noise(1, SAMPLES), RATE * 40 // 1000
    embeddings, timestamps = hear.get_timestamp_embeddings(audio, model)
    for number, start in enumerate([-2 * hop, -hop, 0, hop]):
        begun = np.pad(audio, ((0, 0), (max(0, -start), 0)))[:, max(0, start) :]
        expected, seconds = embed(model.backbone, begun, RATE, level="frame")
        assert np.array_equal(embeddings[:, number::4], expected)
        np.testing.assert_allclose(
            timestamps[0, number::4], 1000 * (seconds + start / RATE)
        )


@pytest.mark.parametrize("hop_size, step", [(160, 160), (100, 80), (33, 32), (7.9, 5)])
def test_the_step_is_a_fraction_of_the_patchs(model, hop_size, step):
    _, timestamps = hear.get_timestamp_embeddings(
        noise(1, RATE // 2), model, hop_size=hop_size
    )
    np.testing.assert_allclose(np.diff(timestamps), step, atol=1e-3)
    assert timestamps.min() < step or step == 160


@pytest.mark.parametrize("samples", [1, 10, 500, 2000])
def test_the_shortest_sounds(model, samples):
    embeddings, timestamps = hear.get_timestamp_embeddings(noise(2, samples), model)
    number = max(1, int(np.ceil((1000 * samples / RATE - 7.5) / 40)))
    assert embeddings.shape == (2, number, 32) and timestamps.shape == (2, number)
    assert np.isfinite(embeddings).all()
    assert hear.get_scene_embeddings(noise(2, samples), model).shape == (2, 32)


def test_no_drift_over_a_long_sound(tmp_path):
    """A minute at a rate at which a hop is no whole number of milliseconds."""
    presets.save(at_rate(22050), tmp_path / "preset")
    model = hear.load_model(tmp_path / "preset")
    _, timestamps = hear.get_timestamp_embeddings(noise(1, 60 * 22050), model)
    hop = 1000 * PATCH * 220 / 22050 / 4  # Kaldi rounds a frame's shift down to 220
    expected = timestamps[0, 0] + hop * np.arange(timestamps.shape[1])
    np.testing.assert_allclose(timestamps[0], expected, atol=1e-3)
    assert 60000 - hop <= timestamps.max() < 60000


def test_timestamps_are_of_the_sound_at_any_rate(preset):
    """Resampled from 44100 Hz, a click is where it was."""
    model = hear.load_model(preset, sample_rate=44100)
    quiet = 0.01 * noise(1, 2 * 44100)
    click = quiet.copy()
    click[:, 44100 : 44100 + 441] += noise(1, 441, seed=1)
    (before, times), (after, _) = (
        hear.get_timestamp_embeddings(audio, model) for audio in (quiet, click)
    )
    change = np.linalg.norm(after - before, axis=-1)[0]
    assert abs(times[0, change.argmax()] - 1005) < 90


# Bad input, and the libraries that are imported.


@pytest.mark.parametrize(
    "function", [hear.get_scene_embeddings, hear.get_timestamp_embeddings]
)
@pytest.mark.parametrize(
    "audio, message",
    [
        (np.zeros(400, "float32"), r"\(n_sounds, n_samples\).*\(400,\)"),
        (np.zeros((0, 400), "float32"), r"at least one of each.*\(0, 400\)"),
        (np.zeros((2, 0), "float32"), r"\(2, 0\)"),
        (np.zeros((2, 400), "int16"), "32768"),
        (np.full((2, 400), np.nan, "float32"), "NaN"),
    ],
)
def test_bad_audio(function, audio, message, model):
    with pytest.raises(ValueError, match=message):
        function(audio, model)


def test_a_step_below_a_sample(model):
    with pytest.raises(ValueError, match=r"one sample, 0.0625 ms.*received 0.01"):
        hear.get_timestamp_embeddings(noise(1, 400), model, hop_size=0.01)


ALONE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "torch"):
            raise ModuleNotFoundError(name + " is blocked in this test")

sys.meta_path.insert(0, Refuse())
import numpy as np
from keras_asit import hear
model = hear.load_model(sys.argv[1])
audio = np.zeros((2, 16000), "float32")
assert hear.get_scene_embeddings(audio, model).shape == (2, 32)
assert hear.get_timestamp_embeddings(audio, model)[0].shape == (2, 25, 32)
"""


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="of JAX alone")
def test_neither_tensorflow_nor_torch_is_needed(preset):
    command = [sys.executable, "-c", ALONE, str(preset)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_hearvalidator_finds_nothing(preset):
    validate = pytest.importorskip("hearvalidator.validate")
    validate.ValidateModel("keras_asit.hear", str(preset), device="cpu")()


def test_tensorflow_tensors_on_any_backend(model):
    tf = pytest.importorskip("tensorflow")
    audio = noise(2, RATE)
    scenes = hear.get_scene_embeddings(tf.constant(audio), model)
    assert isinstance(scenes, tf.Tensor) and scenes.dtype == tf.float32
    expected = hear.get_scene_embeddings(audio, model)
    assert np.array_equal(scenes.numpy(), expected)
