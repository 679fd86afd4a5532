import hashlib
import json
import os
import subprocess
import sys
import types
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

import keras_asit
from keras_asit import presets
from keras_asit.models import ASiTBackbone, ASiTClassifier
from keras_asit.presets.positions import interpolated_positions
from tiny_asit import BINS, FRAMES, PATCH, shake, tiny_backbone, tiny_pretrainer, values

ROOT = Path(__file__).resolve().parent.parent
FILES = ["config.json", "metadata.json", "model.weights.h5"]


def features(batch=2):
    rng = np.random.default_rng(0)
    return rng.normal(size=(batch, FRAMES, BINS)).astype("float32")


def shaken_backbone(**arguments):
    backbone = tiny_backbone(**arguments)
    shake(backbone.weights)
    return backbone


def same_weights(first, second):
    pairs = zip(values(first.weights), values(second.weights), strict=True)
    return all(np.array_equal(ours, theirs) for ours, theirs in pairs)


@pytest.fixture
def preset(tmp_path):
    """A saved backbone and its directory."""
    backbone = shaken_backbone()
    presets.save(backbone, tmp_path / "preset", trained_on="noise")
    return backbone, tmp_path / "preset"


# Names.


def test_names():
    assert presets.names() == ["asit_tiny", "asit_small", "asit_base"]


@pytest.mark.parametrize(
    "name, width, heads, millions",
    [
        ("asit_tiny", 192, 3, 5.5),
        ("asit_small", 384, 6, 22),
        ("asit_base", 768, 12, 85),
    ],
)
def test_describe_names(name, width, heads, millions):
    entry = presets.describe(name)
    assert entry["input_shape"] == (592, 128) and entry["patch_size"] == 16
    assert (entry["hidden_dim"], entry["num_heads"]) == (width, heads)
    assert (entry["num_layers"], entry["mlp_dim"]) == (12, 4 * width)
    assert entry["parameters"] == pytest.approx(millions * 1e6, rel=0.03)
    assert (entry["sample_rate"], entry["mean"]) == (32000, -4.2677393)
    assert entry["trained_on"] == "nothing: no weights are shipped"
    assert entry["weights"] is False


def test_a_name_loads_what_it_describes():
    with pytest.warns(UserWarning, match="asit_tiny.*initialised anew"):
        backbone = presets.load("asit_tiny")
    entry = presets.describe("asit_tiny")
    assert isinstance(backbone, ASiTBackbone)
    assert backbone.count_params() == entry["parameters"]
    assert (backbone.num_frames, backbone.num_mel_bins) == entry["input_shape"]
    assert (backbone.num_heads, backbone.drop_path) == (3, 0.0)
    assert backbone.frontend.std == entry["std"]
    assert backbone.frontend.num_frames == 592


def test_a_name_has_no_weights():
    with pytest.raises(ValueError, match=r"load_weights=True.*no weights are shipped"):
        presets.load("asit_base", load_weights=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        backbone = presets.load("asit_tiny", load_weights=False, num_frames=32)
    assert tuple(backbone.output.shape) == (None, 17, 192)


@pytest.mark.parametrize("function", [presets.load, presets.describe])
def test_unknown_names_list_the_known(function):
    with pytest.raises(ValueError, match=r"'asit_huge'.*asit_tiny.*asit_base.*hf://"):
        function("asit_huge")


# Directories.


def test_backbone_comes_back_to_the_bit(preset):
    backbone, directory = preset
    assert sorted(os.listdir(directory)) == FILES
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loaded = presets.load(directory)
    assert same_weights(backbone, loaded)
    assert loaded.get_config() == backbone.get_config()
    assert loaded.frontend.get_config() == backbone.frontend.get_config()
    expected = ops.convert_to_numpy(backbone(features()))
    assert np.array_equal(ops.convert_to_numpy(loaded(features())), expected)
    assert same_weights(backbone, presets.load(str(directory), load_weights=True))


def test_classifier_comes_back_with_its_classes(tmp_path):
    names = ["cat", "dog", "rain"]
    classifier = ASiTClassifier(
        shaken_backbone(), 3, True, pooling="cls+mean", class_names=names
    )
    shake(classifier.head.weights)
    classifier.compile()
    presets.save(classifier, tmp_path / "preset")
    loaded = presets.load(tmp_path / "preset")
    assert type(loaded) is ASiTClassifier and loaded.class_names == names
    assert loaded.multi_label and not loaded.compiled
    assert same_weights(classifier, loaded)
    expected = ops.convert_to_numpy(classifier(features()))
    assert np.array_equal(ops.convert_to_numpy(loaded(features())), expected)
    entry = presets.describe(tmp_path / "preset")
    assert (entry["model"], entry["class_names"]) == ("ASiTClassifier", names)
    assert entry["parameters"] == classifier.count_params()


def test_of_a_pretrainer_the_teacher_is_saved_and_can_be_trained(tmp_path):
    pretrainer = tiny_pretrainer()
    shake(pretrainer.teacher.weights)
    presets.save(pretrainer, tmp_path / "preset")
    loaded = presets.load(tmp_path / "preset")
    assert same_weights(loaded, pretrainer.teacher)
    assert not same_weights(loaded, pretrainer.student)
    assert len(loaded.trainable_variables) == len(loaded.weights)


def test_other_backend_reads_the_same(preset):
    """Weights of one backend are those of the other, and its tokens agree."""
    backbone, directory = preset
    other = {"tensorflow": "jax", "jax": "tensorflow", "torch": "jax"}
    np.save(directory / "features.npy", features())
    script = (
        "import sys, numpy as np, keras, keras_asit\n"
        "folder = sys.argv[1]\n"
        "backbone = keras_asit.presets.load(folder, load_weights=True)\n"
        "weights = [keras.ops.convert_to_numpy(w) for w in backbone.weights]\n"
        "tokens = backbone(np.load(folder + '/features.npy'))\n"
        "np.savez(folder + '/other.npz', *weights,\n"
        "         tokens=keras.ops.convert_to_numpy(tokens))\n"
    )
    backend = other[keras.backend.backend()]
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", script, str(directory)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if "No module named" in done.stderr:
        pytest.skip(f"needs the backend {backend} too")
    assert done.returncode == 0, done.stderr
    theirs = np.load(directory / "other.npz")
    for number, ours in enumerate(values(backbone.weights)):
        assert np.array_equal(ours, theirs[f"arr_{number}"])
    tokens = ops.convert_to_numpy(backbone(features()))
    np.testing.assert_allclose(tokens, theirs["tokens"], atol=1e-4)


def test_metadata(preset):
    backbone, directory = preset
    metadata = json.loads((directory / "metadata.json").read_text())
    assert metadata == {
        "keras_version": keras.version(),
        "keras_asit_version": keras_asit.__version__,
        "model": "ASiTBackbone",
        "parameter_count": backbone.count_params(),
        "trained_on": "noise",
        "weights_sha256": hashlib.sha256(
            (directory / "model.weights.h5").read_bytes()
        ).hexdigest(),
    }
    entry = presets.describe(directory)
    assert entry["trained_on"] == "noise" and entry["weights"] is True
    assert entry["input_shape"] == (FRAMES, BINS)
    assert (entry["sample_rate"], entry["mean"]) == (16000, -4.0)


def test_saving_twice_writes_the_same_text(preset):
    backbone, directory = preset
    again = directory.parent / "again"
    presets.save(backbone, again, trained_on="noise")
    for name in FILES[:2]:
        assert (again / name).read_bytes() == (directory / name).read_bytes()


def test_a_preset_from_before_an_argument_existed(preset):
    backbone, directory = preset
    config = json.loads((directory / "config.json").read_text())
    del config["config"]["position_std"]
    (directory / "config.json").write_text(json.dumps(config))
    assert same_weights(presets.load(directory), backbone)


def test_without_weights(preset):
    backbone, directory = preset
    assert not same_weights(presets.load(directory, load_weights=False), backbone)
    (directory / "model.weights.h5").unlink()
    assert presets.describe(directory)["weights"] is False
    with pytest.warns(UserWarning, match="has no model.weights.h5.*anew"):
        presets.load(directory)
    with pytest.raises(ValueError, match="load_weights=True"):
        presets.load(directory, load_weights=True)


def test_a_preset_is_replaced_and_other_files_stay(preset):
    _, directory = preset
    (directory / "results.json").write_text("{}")
    other = shaken_backbone(num_layers=1)
    presets.save(other, directory, trained_on="speech")
    assert same_weights(presets.load(directory), other)
    assert sorted(os.listdir(directory)) == [*FILES, "results.json"]
    assert os.listdir(directory.parent) == [directory.name]


def test_a_directory_with_other_files_becomes_a_preset(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "log.txt").write_text("a run")
    presets.save(tiny_backbone(), tmp_path / "out")
    assert sorted(os.listdir(tmp_path / "out")) == sorted([*FILES, "log.txt"])


@pytest.mark.parametrize("name", FILES)
def test_files_that_are_no_preset_stay(tmp_path, name):
    (tmp_path / name).write_text('{"registered_name": "keras_hub>ViTBackbone"}')
    with pytest.raises(ValueError, match=r"no preset.*Save elsewhere"):
        presets.save(tiny_backbone(), tmp_path)
    assert os.listdir(tmp_path) == [name]


def test_an_interrupted_save_leaves_what_was_there(preset, monkeypatch):
    backbone, directory = preset

    def broken(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ASiTBackbone, "save_weights", broken)
        presets.save(tiny_backbone(num_layers=1), directory)
    assert same_weights(presets.load(directory), backbone)
    assert os.listdir(directory.parent) == [directory.name]
    assert sorted(os.listdir(directory)) == FILES


def test_nothing_is_written_beside_a_directory_that_exists(preset, monkeypatch):
    """There it may be forbidden, or another file system. The old preset stays whole."""
    _, directory = preset
    old = {name: (directory / name).read_bytes() for name in FILES}
    save_weights, seen = ASiTBackbone.save_weights, []

    def looks(model, path):
        save_weights(model, path)
        seen.append(os.listdir(directory.parent))
        assert old == {name: (directory / name).read_bytes() for name in FILES}

    monkeypatch.setattr(ASiTBackbone, "save_weights", looks)
    presets.save(tiny_backbone(num_layers=1), directory)
    assert seen == [[directory.name]]
    assert sorted(os.listdir(directory)) == FILES


def test_only_our_models_are_saved(tmp_path):
    with pytest.raises(ValueError, match="received Sequential"):
        presets.save(keras.Sequential(), tmp_path / "preset")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        presets.save(tiny_backbone(), tmp_path / "file")


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("config.json", None, "config.json cannot be read"),
        ("config.json", "{", "config.json cannot be read"),
        ("config.json", "[]", "expected an object"),
        ("config.json", '{"registered_name": "Functional"}', "is not of an ASiT"),
        (
            "config.json",
            '{"module": "keras_asit", "class_name": "ASiTBackbone", "config": '
            '{"num_heads": 5}, "registered_name": "keras_asit>ASiTBackbone"}',
            "does not describe a model",
        ),
        ("model.weights.h5", "no weights", "model.weights.h5 cannot be loaded"),
    ],
)
def test_damaged_presets(preset, name, content, message):
    _, directory = preset
    (directory / name).unlink()
    if content is not None:
        (directory / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        presets.load(directory)


@pytest.mark.parametrize(
    "change",
    [
        lambda config: config.pop("config"),
        lambda config: config["config"].update(frontend={"class_name": "X"}),
    ],
    ids=["no config", "frontend"],
)
def test_a_config_that_gives_no_model(preset, change):
    _, directory = preset
    config = json.loads((directory / "config.json").read_text())
    change(config)
    (directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match="does not describe a model"):
        presets.load(directory)


def test_a_config_that_cannot_be_understood(preset):
    _, directory = preset
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, "config": None}))
    with pytest.raises(ValueError, match=r"cannot be understood \(TypeError"):
        presets.describe(directory)


def forget_digest(directory):
    """Makes a preset one of those from before the digest was noted."""
    metadata = json.loads((directory / "metadata.json").read_text())
    metadata.pop("weights_sha256", None)
    (directory / "metadata.json").write_text(json.dumps(metadata))


def test_a_changed_byte_of_the_weights_is_found(preset):
    backbone, directory = preset
    weights = bytearray((directory / "model.weights.h5").read_bytes())
    kernel = values([backbone.embedding.position_embedding])[0].tobytes()
    weights[weights.index(kernel)] ^= 1
    (directory / "model.weights.h5").write_bytes(weights)
    with pytest.raises(ValueError, match=r"SHA-256 .* damaged, copy it again"):
        presets.load(directory)
    forget_digest(directory)
    assert not same_weights(presets.load(directory), backbone)


def test_a_preset_without_metadata_loads(preset):
    backbone, directory = preset
    (directory / "metadata.json").unlink()
    assert same_weights(presets.load(directory), backbone)


def test_damage_that_hdf5_meets_while_it_reads(preset):
    _, directory = preset
    forget_digest(directory)
    weights = (directory / "model.weights.h5").read_bytes()
    (directory / "model.weights.h5").write_bytes(weights.replace(b"SNOD", b"XXXX"))
    with pytest.raises(ValueError, match=r"cannot be loaded: it is damaged"):
        presets.load(directory)


def test_weights_of_another_model(preset):
    _, directory = preset
    forget_digest(directory)
    shaken_backbone(num_layers=1).save_weights(directory / "model.weights.h5")
    with pytest.raises(ValueError, match="not of the model in"):
        presets.load(directory)


# Another number of frames.


def test_other_number_of_frames(preset):
    backbone, directory = preset
    frames = 5 * PATCH
    loaded = presets.load(directory, num_frames=frames)
    assert loaded.num_frames == loaded.frontend.num_frames == frames
    assert loaded.frontend.mean == backbone.frontend.mean
    positions = loaded.embedding.position_embedding
    (old,) = values([backbone.embedding.position_embedding])
    expected = interpolated_positions(old, backbone.grid, (5, 2))
    assert np.array_equal(values([positions])[0], expected)
    for ours, theirs in zip(backbone.weights, loaded.weights, strict=True):
        assert theirs is positions or np.array_equal(*values([ours, theirs]))
    assert presets.load(directory, num_frames=FRAMES).num_frames == FRAMES


def test_classifier_of_another_number_of_frames(tmp_path):
    classifier = ASiTClassifier(shaken_backbone(), 2, class_names=["cat", "dog"])
    presets.save(classifier, tmp_path / "preset")
    loaded = presets.load(tmp_path / "preset", num_frames=2 * PATCH)
    assert loaded.backbone.num_frames == 2 * PATCH
    assert loaded.class_names == ["cat", "dog"]
    assert np.array_equal(*values([loaded.head.kernel, classifier.head.kernel]))


@pytest.mark.parametrize("num_frames", [0, 50])
def test_frames_are_a_multiple_of_the_patch(preset, num_frames):
    for handle in (preset[1], "asit_tiny"):
        with pytest.raises(ValueError, match="frames"):
            presets.load(handle, load_weights=False, num_frames=num_frames)


# Hubs: stand-ins for their libraries, no network.


def test_hugging_face(preset, monkeypatch):
    backbone, directory = preset
    calls = []

    def snapshot_download(repository, allow_patterns=None):
        calls.append((repository, sorted(allow_patterns)))
        return str(directory)

    hub = types.ModuleType("huggingface_hub")
    hub.snapshot_download = snapshot_download
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert same_weights(presets.load("hf://someone/asit"), backbone)
    assert calls == [("someone/asit", FILES)]


def test_kaggle(preset, monkeypatch):
    backbone, directory = preset
    handles = []

    def model_download(handle):
        handles.append(handle)
        return str(directory)

    hub = types.ModuleType("kagglehub")
    hub.model_download = model_download
    monkeypatch.setitem(sys.modules, "kagglehub", hub)
    assert same_weights(presets.load("kaggle://someone/asit/keras/tiny"), backbone)
    assert handles == ["someone/asit/keras/tiny"]


@pytest.mark.parametrize(
    "handle, library",
    [("hf://someone/asit", "huggingface_hub"), ("kaggle://a/b/c/d", "kagglehub")],
)
def test_hubs_are_an_extra(monkeypatch, handle, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(ImportError, match=rf"{library}.*keras-asit\[hub\]"):
        presets.load(handle)
