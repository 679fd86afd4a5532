"""keras-hub's own models where it is installed, and stand-ins of Keras layers."""

import json
import sys
import types

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_asit import presets
from tiny_asit import shake, values

SIDE, PATCH, WIDTH, HEADS, HIDDEN = 32, 8, 24, 3, 40
PATCHES = (SIDE // PATCH) ** 2


class Embedding(layers.Layer):
    def build(self, input_shape):
        self.patch_embedding = layers.Conv2D(WIDTH, PATCH, PATCH)
        self.patch_embedding.build(input_shape)
        self.class_token = self.add_weight(shape=(1, 1, WIDTH), name="class_token")
        self.position_embedding = layers.Embedding(1 + PATCHES, WIDTH)
        self.position_embedding.build((1, 1 + PATCHES))

    def call(self, images):
        patches = ops.reshape(self.patch_embedding(images), (-1, PATCHES, WIDTH))
        class_token = ops.repeat(self.class_token, ops.shape(patches)[0], axis=0)
        tokens = ops.concatenate([class_token, patches], axis=1)
        return tokens + self.position_embedding(ops.arange(1 + PATCHES))


class Block(layers.Layer):
    def __init__(self, use_bias):
        super().__init__()
        self.layer_norm_1 = layers.LayerNormalization(epsilon=1e-6)
        self.mha = layers.MultiHeadAttention(HEADS, WIDTH // HEADS, use_bias=use_bias)
        self.layer_norm_2 = layers.LayerNormalization(epsilon=1e-6)
        self.mlp = keras.Sequential(
            [
                layers.Dense(HIDDEN, activation="gelu", use_bias=use_bias),
                layers.Dense(WIDTH, use_bias=use_bias),
            ]
        )
        self.mlp.dense_1, self.mlp.dense_2 = self.mlp.layers

    def call(self, tokens):
        x = self.layer_norm_1(tokens)
        tokens = tokens + self.mha(x, x)
        return tokens + self.mlp(self.layer_norm_2(tokens))


class Encoder(layers.Layer):
    def __init__(self, use_bias, **kwargs):
        super().__init__(**kwargs)
        self.encoder_layers = [Block(use_bias) for _ in range(2)]
        self.layer_norm = layers.LayerNormalization(epsilon=1e-6)

    def call(self, tokens):
        for block in self.encoder_layers:
            tokens = block(tokens)
        return self.layer_norm(tokens)


class ViTBackbone(keras.Model):
    """The attributes of keras-hub's, on layers of Keras."""

    def __init__(self, use_bias=True):
        images = keras.Input((SIDE, SIDE, 3))
        tokens = Embedding(name="vit_patching_and_embedding")(images)
        tokens = Encoder(use_bias, name="vit_encoder")(tokens)
        super().__init__(images, tokens)
        self.image_shape, self.patch_size = (SIDE, SIDE, 3), (PATCH, PATCH)
        self.num_heads, self.layer_norm_epsilon = HEADS, 1e-6
        self.data_format = "channels_last"


def real(name, **arguments):
    """A tiny backbone of keras-hub."""
    hub = pytest.importorskip("keras_hub", reason="brings tensorflow; run it by hand")
    hidden = "mlp_dim" if name == "ViTBackbone" else "intermediate_dim"
    return getattr(hub.models, name)(
        image_shape=(SIDE, SIDE, 3),
        patch_size=PATCH,
        num_layers=2,
        num_heads=HEADS,
        hidden_dim=WIDTH,
        **{hidden: HIDDEN, **arguments},
    )


def grey_images():
    return np.random.default_rng(1).normal(size=(2, SIDE, SIDE)).astype("float32")


def tokens_of(model, grey):
    images = np.repeat(grey[..., None], 3, axis=-1)
    return ops.convert_to_numpy(model(images))


MODELS = {
    "stand-in": ViTBackbone,
    "stand-in without biases": lambda: ViTBackbone(use_bias=False),
    "keras-hub": lambda: real("ViTBackbone"),
    "keras-hub without biases": lambda: real(
        "ViTBackbone", use_mha_bias=False, use_mlp_bias=False, use_patch_bias=False
    ),
}


@pytest.mark.large_on_jax
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
def test_tokens_are_those_of_a_grey_image(make):
    model, grey = make(), grey_images()
    shake(model.weights, scale=0.2)
    backbone = presets.from_vision_transformer(model, (SIDE, SIDE))
    expected = tokens_of(model, grey)
    assert expected.std() > 0.3
    ours = ops.convert_to_numpy(backbone(3 * grey))
    np.testing.assert_allclose(ours, expected, atol=1e-4, rtol=0)


def test_a_deit_but_for_its_distillation_token():
    model = real("DeiTBackbone")
    shake(model.weights, scale=0.2)
    backbone = presets.from_vision_transformer(model, (SIDE, SIDE), colours="sum")
    embedding = model.get_layer("deit_patching_and_embedding")
    grey = grey_images()
    theirs = embedding(np.repeat(grey[..., None], 3, axis=-1))
    theirs = np.delete(ops.convert_to_numpy(theirs), 1, axis=1)
    ours = ops.convert_to_numpy(backbone.embedding(grey))
    np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)
    # Its blocks, on the same tokens.
    x = ops.convert_to_tensor(theirs)
    for block in model.get_layer("deit_encoder").encoder_layers:
        out = block(x)
        x = out[0] if isinstance(out, (tuple, list)) else out
    expected = ops.convert_to_numpy(model.get_layer("deit_encoder").layer_norm(x))
    tokens = ops.convert_to_tensor(theirs)
    for block in backbone.blocks:
        tokens = block(tokens)
    tokens = ops.convert_to_numpy(backbone.norm(tokens))
    np.testing.assert_allclose(tokens, expected, atol=1e-4, rtol=0)


def test_a_preset_of_keras_hub(tmp_path):
    model = real("ViTBackbone")
    shake(model.weights)
    model.save_to_preset(str(tmp_path / "preset"))
    backbone = presets.from_vision_transformer(tmp_path / "preset", (64, 16))
    expected = presets.from_vision_transformer(model, (64, 16))
    for pair in zip(backbone.weights, expected.weights, strict=True):
        assert np.array_equal(*values(pair))


def test_a_name_is_keras_hubs(monkeypatch):
    """With a stand-in for the library, no network."""
    model, handles = ViTBackbone(), []

    def from_preset(handle):
        handles.append(handle)
        return types.SimpleNamespace(backbone=model)  # as a classifier has one

    hub = types.ModuleType("keras_hub")
    hub.models = types.SimpleNamespace(
        Backbone=types.SimpleNamespace(from_preset=from_preset)
    )
    monkeypatch.setitem(sys.modules, "keras_hub", hub)
    presets.from_vision_transformer("vit_base_patch16_224_imagenet", (64, 16))
    assert handles == ["vit_base_patch16_224_imagenet"]


def test_without_a_class_token():
    model = ViTBackbone()
    model.use_class_token = False
    with pytest.raises(ValueError, match="with a class token"):
        presets.from_vision_transformer(model, (SIDE, SIDE))


@pytest.mark.parametrize("source", ["vit_base_patch16_224_imagenet", "folder"])
def test_keras_hub_is_needed_for_its_presets(source, tmp_path, monkeypatch):
    if source == "folder":
        config = {"registered_name": "keras_hub>ViTBackbone"}
        (tmp_path / "config.json").write_text(json.dumps(config))
        source = tmp_path
    monkeypatch.setitem(sys.modules, "keras_hub", None)
    with pytest.raises(ImportError, match="pip install keras-hub"):
        presets.from_vision_transformer(source, (64, 16))
