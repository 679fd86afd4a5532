import json
import logging
import shutil
import sys

import keras
import numpy as np
import pytest
from keras import ops

from keras_asit import presets
from keras_asit.audio import LogMelFilterbank
from keras_asit.models import ASiTBackbone
from keras_asit.presets.hugging_face_vit import converted
from tiny_asit import tiny_backbone, values

torch = pytest.importorskip("torch", reason="torch is in the dev extra")
transformers = pytest.importorskip("transformers", reason="it is in the dev extra")

SIDE, PATCH, WIDTH = 32, 8, 24
SIZES = {
    "image_size": SIDE,
    "patch_size": PATCH,
    "hidden_size": WIDTH,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
}


def image_model(kind="ViT", name="Model", **arguments):
    """A tiny model of transformers with random weights, and none of its initial."""
    config = getattr(transformers, f"{kind}Config")(**{**SIZES, **arguments})
    model = getattr(transformers, kind + name)(config).eval()
    draws = np.random.default_rng(0)
    with torch.no_grad():
        for path, weight in model.named_parameters():
            gain = float("layernorm" in path and "weight" in path)
            noise = gain + draws.normal(size=tuple(weight.shape)) / np.sqrt(WIDTH)
            weight.copy_(torch.from_numpy(noise))
    return model


def grey_images(height=SIDE, width=SIDE):
    return np.random.default_rng(1).normal(size=(2, height, width)).astype("float32")


def tokens_of(model, images, colours=3):
    """What transformers gives for the same image in every channel."""
    with torch.no_grad():
        pixels = torch.from_numpy(images)[:, None].repeat(1, colours, 1, 1)
        return model(pixels).last_hidden_state.numpy()


def tokens(backbone, spectrograms):
    return ops.convert_to_numpy(backbone(spectrograms))


def close(ours, theirs):
    assert theirs.std() > 0.3
    np.testing.assert_allclose(ours, theirs, atol=1e-4, rtol=0)


# The same size: the same tokens.


def test_tokens_are_those_of_a_grey_image():
    model, grey = image_model(), grey_images()
    backbone = presets.from_vision_transformer(model, (SIDE, SIDE))
    assert type(backbone) is ASiTBackbone
    assert (backbone.num_heads, backbone.num_layers, backbone.mlp_dim) == (3, 2, 40)
    # The mean of three channels' kernels: a third in each of them.
    close(tokens(backbone, grey), tokens_of(model, grey / 3))
    close(tokens(backbone, 3 * grey), tokens_of(model, grey))


def test_tokens_of_the_sum_over_the_colours():
    model, grey = image_model(), grey_images()
    backbone = presets.from_vision_transformer(model, (SIDE, SIDE), colours="sum")
    close(tokens(backbone, grey), tokens_of(model, grey))


def test_a_model_of_one_channel_needs_no_average():
    model, grey = image_model(num_channels=1), grey_images()
    backbone = presets.from_vision_transformer(model, (SIDE, SIDE))
    close(tokens(backbone, grey), tokens_of(model, grey, colours=1))


def test_time_is_the_height_or_the_width():
    model, grey = image_model(image_size=(16, 32)), grey_images(16, 32)
    expected = tokens_of(model, grey / 3)
    backbone = presets.from_vision_transformer(model, (16, 32))
    close(tokens(backbone, grey), expected)
    backbone = presets.from_vision_transformer(model, (32, 16), time_axis="width")
    turned = tokens(backbone, grey.swapaxes(1, 2))
    close(turned[:, 0], expected[:, 0])
    by_width = expected[:, 1:].reshape(2, 2, 4, WIDTH).swapaxes(1, 2)
    close(turned[:, 1:], by_width.reshape(2, 8, WIDTH))


def test_no_bias_of_queries_keys_and_values():
    model, grey = image_model(qkv_bias=False), grey_images()
    backbone = presets.from_vision_transformer(model, (SIDE, SIDE))
    assert not values([backbone.blocks[0].attention.qkv.bias])[0].any()
    close(tokens(backbone, grey), tokens_of(model, grey / 3))


# Other sizes.


def test_positions_stay_where_the_grid_is_the_same(caplog):
    model = image_model()
    with caplog.at_level(logging.INFO, logger="keras_asit.presets"):
        backbone = presets.from_vision_transformer(model, (SIDE, SIDE))
    assert not caplog.records
    [positions] = values([backbone.embedding.position_embedding])
    theirs = model.embeddings.position_embeddings.detach().numpy()
    assert np.array_equal(positions, theirs)


def test_a_ramp_of_positions_stays_one(caplog):
    """Position (i, j) is 10 i + j: doubled in height, halved in width."""
    model = image_model()
    ramp = 10 * np.arange(4.0)[:, None] + np.arange(4.0)
    by_hand = np.array([0, 2.5, 7.5, 12.5, 17.5, 22.5, 27.5, 30])[:, None] + [0.5, 2.5]
    with torch.no_grad():
        positions = model.embeddings.position_embeddings
        positions[0, 0] = -1.0
        positions[0, 1:] = torch.from_numpy(ramp.reshape(16, 1))
    with caplog.at_level(logging.INFO, logger="keras_asit.presets"):
        backbone = presets.from_vision_transformer(model, (2 * SIDE, SIDE // 2))
    [record] = caplog.records
    assert "from 4 x 4 to 8 x 2 patches" in record.getMessage()
    [result] = values([backbone.embedding.position_embedding])
    assert np.array_equal(result[0, 0], np.full(WIDTH, -1.0))
    for column in (0, WIDTH - 1):
        np.testing.assert_allclose(result[0, 1:, column].reshape(8, 2), by_hand)


def test_frontend_and_arguments_of_the_backbone():
    frontend = LogMelFilterbank(16000, num_mel_bins=16, num_frames=64, mean=-6, std=5)
    backbone = presets.from_vision_transformer(
        image_model(), (64, 16), frontend, drop_path=0.2, name="from_images"
    )
    assert backbone.frontend is frontend and backbone.name == "from_images"
    assert backbone.drop_path == 0.2 and backbone.grid == (8, 2)


def test_it_is_saved_as_any_preset(tmp_path):
    backbone = presets.from_vision_transformer(image_model(), (64, 16))
    presets.save(backbone, tmp_path / "preset", trained_on="ImageNet")
    loaded = presets.load(tmp_path / "preset")
    for pair in zip(loaded.weights, backbone.weights, strict=True):
        assert np.array_equal(*values(pair))


# DeiT.


@pytest.mark.parametrize("name", ["Model", "ForImageClassificationWithTeacher"])
def test_the_distillation_token_is_left_out(name):
    """All but attention to it: the first block's input is the same."""
    model = image_model("DeiT", name)
    backbone = presets.from_vision_transformer(model, (SIDE, SIDE), colours="sum")
    deit = model if name == "Model" else model.deit
    grey = grey_images()
    with torch.no_grad():
        pixels = torch.from_numpy(grey)[:, None].repeat(1, 3, 1, 1)
        theirs = deit.embeddings(pixels).numpy()
    ours = ops.convert_to_numpy(backbone.embedding(grey))
    close(ours, np.delete(theirs, 1, axis=1))


# Folders.


@pytest.mark.parametrize(
    "kind, name",
    [("ViT", "Model"), ("ViT", "ForImageClassification"), ("DeiT", "Model")],
)
def test_a_folder_gives_what_the_model_gives(kind, name, tmp_path):
    model = image_model(kind, name)
    model.save_pretrained(tmp_path)
    expected = values(presets.from_vision_transformer(model, (SIDE, SIDE)).weights)
    for source in (tmp_path, str(tmp_path / "model.safetensors")):
        backbone = presets.from_vision_transformer(source, (SIDE, SIDE))
        for pair in zip(values(backbone.weights), expected, strict=True):
            assert np.array_equal(*pair)


def test_files_in_the_names_of_either_version(tmp_path):
    """Older files say encoder.layer, newer state says layers."""
    model = image_model(name="ForImageClassification")
    model.save_pretrained(tmp_path)
    reader = pytest.importorskip("safetensors.numpy")
    old = reader.load_file(tmp_path / "model.safetensors")
    new = {name: value.numpy() for name, value in model.state_dict().items()}
    assert any(".encoder.layer.0.attention.attention.query." in name for name in old)
    assert any(".layers.0.attention.q_proj." in name for name in new)
    config = json.loads((tmp_path / "config.json").read_text())
    first, second = (converted(config, weights) for weights in (old, new))
    for ours, theirs in zip(first.blocks, second.blocks, strict=True):
        for name, pair in ours.items():
            for arrays in zip(pair, theirs[name]):
                assert np.array_equal(*arrays)


def test_half_precision_files(tmp_path):
    model = image_model()
    model.to(torch.float16).save_pretrained(tmp_path)
    backbone = presets.from_vision_transformer(tmp_path, (SIDE, SIDE))
    grey = grey_images()
    close(tokens(backbone, grey), tokens_of(model.float(), grey / 3))


# What is refused.


@pytest.mark.parametrize(
    "change, message",
    [
        ({"hidden_act": "relu"}, "exact GELU.*activation='relu'"),
        ({"layer_norm_eps": 1e-3}, "at most 1e-05 .*epsilon=0.001"),
        ({"patch_size": (8, 16)}, r"square patches.*\(8, 16\)"),
    ],
)
def test_networks_that_compute_something_else(change, message):
    with pytest.raises(ValueError, match=message):
        presets.from_vision_transformer(image_model(**change), (SIDE, SIDE))


def saved(folder):
    """Config and weights of a tiny model, as in its folder."""
    image_model().save_pretrained(folder)
    reader = pytest.importorskip("safetensors.numpy")
    config = json.loads((folder / "config.json").read_text())
    return config, reader.load_file(folder / "model.safetensors")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c, w: w.pop("layernorm.bias"), "'layernorm.bias' is missing"),
        (
            lambda c, w: w.pop("encoder.layer.1.intermediate.dense.weight"),
            r"'layers.1.mlp.fc1.weight' is missing.*ViTModel",
        ),
        (
            lambda c, w: w.update({"encoder.layer.0.scale": w["layernorm.bias"]}),
            r"does not have: \['layers.0.scale'\]",
        ),
        (
            lambda c, w: c.update(num_hidden_layers=1),
            r"does not have: \['layers.1.*as many layers as num_hidden_layers",
        ),
        (lambda c, w: c.update(patch_size=16), r"has the shape.*expected \(1, 5, 24\)"),
        (lambda c, w: c.update(intermediate_size=48), r"expected \(48, 24\)"),
        (lambda c, w: c.update(model_type="beit"), r"\['vit', 'deit'\].*'beit'"),
        (lambda c, w: c.pop("hidden_size"), "config.json has no 'hidden_size'"),
    ],
)
def test_weights_and_configs_that_do_not_fit(change, message, tmp_path):
    config, weights = saved(tmp_path)
    change(config, weights)
    with pytest.raises(ValueError, match=message):
        converted(config, weights)


@pytest.mark.parametrize("damage", ["config", "weights", "no weights", "empty"])
def test_damaged_folders(damage, tmp_path):
    saved(tmp_path)
    if damage == "config":
        (tmp_path / "config.json").write_text("{")
    elif damage == "weights":
        (tmp_path / "model.safetensors").write_bytes(b"no weights")
    elif damage == "no weights":
        (tmp_path / "model.safetensors").unlink()
    else:
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
    message = "cannot be read as a vision transformer.*Expected config.json and model"
    with pytest.raises(ValueError, match=message):
        presets.from_vision_transformer(tmp_path, (SIDE, SIDE))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"source": 3}, "received int"),
        ({"source": keras.Sequential()}, "keras-hub backbone.*received Sequential"),
        ({"input_shape": (SIDE, 20)}, "multiples of patch_size=8"),
        ({"colours": "max"}, r"\['mean', 'sum'\].*colours='max'"),
        ({"time_axis": "depth"}, "time_axis='depth'"),
    ],
)
def test_bad_arguments(arguments, message):
    usual = {"source": image_model(), "input_shape": (SIDE, SIDE)}
    with pytest.raises(ValueError, match=message):
        presets.from_vision_transformer(**{**usual, **arguments})


def test_our_own_backbone_is_no_source():
    with pytest.raises(ValueError, match="received ASiTBackbone"):
        presets.from_vision_transformer(tiny_backbone())


def test_safetensors_is_an_extra(tmp_path, monkeypatch):
    saved(tmp_path)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    with pytest.raises(ImportError, match="pip install safetensors"):
        presets.from_vision_transformer(tmp_path, (SIDE, SIDE))
