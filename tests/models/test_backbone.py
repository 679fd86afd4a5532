import json
import re

import keras
import numpy as np
import pytest
from keras import ops

from keras_asit.audio import LogMelFilterbank
from keras_asit.models.backbone import ASiTBackbone

TINY = {
    "input_shape": (48, 32),
    "hidden_dim": 24,
    "num_layers": 2,
    "num_heads": 2,
    "mlp_dim": 40,
}


def spectrograms(batch=2, frames=48, bins=32):
    values = np.random.default_rng(0).normal(size=(batch, frames, bins))
    return values.astype("float32")


def with_random_weights(backbone):
    """Weights that are none of the initial ones; gains stay near 1."""
    draws = np.random.default_rng(1)
    backbone.set_weights(
        [
            ("gamma" in w.path) + draws.normal(size=w.shape) / np.sqrt(w.shape[-1])
            for w in backbone.weights
        ]
    )
    return backbone


def outputs(backbone, x=None):
    return ops.convert_to_numpy(backbone(spectrograms() if x is None else x))


# The network.


def num_params(frames, bins, width, depth, mlp_dim, patch=16):
    """Parameters of a ViT by hand: one line a part."""
    tokens = 1 + (frames // patch) * (bins // patch)
    embedding = (patch**2 + 1) * width + width + tokens * width
    attention = (width + 1) * 3 * width + (width + 1) * width
    mlp = (width + 1) * mlp_dim + (mlp_dim + 1) * width
    norm = 2 * width
    return embedding + depth * (attention + mlp + 2 * norm) + norm


@pytest.mark.large_on_jax
@pytest.mark.parametrize(
    "width, heads, millions", [(192, 3, 5.5), (384, 6, 22), (768, 12, 85)]
)
def test_parameters_of_tiny_small_and_base(width, heads, millions):
    backbone = ASiTBackbone(
        (592, 128), hidden_dim=width, num_heads=heads, mlp_dim=4 * width
    )
    assert backbone.count_params() == num_params(592, 128, width, 12, 4 * width)
    assert backbone.count_params() / 1e6 == pytest.approx(millions, rel=0.025)
    assert tuple(backbone.output_shape) == (None, 297, width)


def vit_weights(backbone):
    """The backbone's weights under the names of transformers' `ViTModel`."""
    embedding, side = backbone.embedding, backbone.patch_size
    kernel, bias = embedding.projection.get_weights()
    named = {
        "embeddings.cls_token": embedding.class_token,
        "embeddings.position_embeddings": embedding.position_embedding,
        "embeddings.patch_embeddings.projection": (
            kernel.T.reshape(backbone.hidden_dim, 1, side, side),
            bias,
        ),
        "layernorm": backbone.get_layer("norm").get_weights(),
    }
    for i, block in enumerate(backbone.blocks):
        kernel, bias = block.attention.qkv.get_weights()
        parts = zip("qkv", np.split(kernel.T, 3), np.split(bias, 3))
        layer = {f"attention.{name}_proj": pair for name, *pair in parts}
        for name, dense in {
            "attention.o_proj": block.attention.projection,
            "mlp.fc1": block.expand,
            "mlp.fc2": block.contract,
        }.items():
            kernel, bias = dense.get_weights()
            layer[name] = (kernel.T, bias)
        layer["layernorm_before"] = block.attention_norm.get_weights()
        layer["layernorm_after"] = block.mlp_norm.get_weights()
        named.update({f"layers.{i}.{name}": pair for name, pair in layer.items()})
    return named


def state_dict(named, torch):
    """Pairs become a weight and a bias, arrays tensors."""
    state = {}
    for name, value in named.items():
        pair = (("weight", "bias"), value) if isinstance(value, (list, tuple)) else None
        for suffix, array in zip(*pair) if pair else [("", value)]:
            array = np.array(ops.convert_to_numpy(array))
            state[f"{name}.{suffix}".rstrip(".")] = torch.from_numpy(array)
    return state


@pytest.mark.parametrize(
    "shape, width, depth, heads",
    [
        pytest.param((48, 32), 24, 2, 2, marks=pytest.mark.large_on_jax),
        ((32, 64), 36, 3, 3),
    ],
)
def test_outputs_equal_those_of_transformers(shape, width, depth, heads):
    torch = pytest.importorskip("torch", reason="torch is in the dev extra")
    transformers = pytest.importorskip("transformers", reason="it is in the dev extra")
    backbone = ASiTBackbone(
        shape, hidden_dim=width, num_layers=depth, num_heads=heads, mlp_dim=40
    )
    with_random_weights(backbone)
    config = transformers.ViTConfig(
        image_size=shape,
        patch_size=16,
        num_channels=1,
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        intermediate_size=40,
        hidden_act="gelu",
        layer_norm_eps=1e-6,
        qkv_bias=True,
    )
    theirs = transformers.ViTModel(config, add_pooling_layer=False).eval()
    theirs.load_state_dict(state_dict(vit_weights(backbone), torch))
    x = spectrograms(2, *shape)
    with torch.no_grad():
        expected = theirs(torch.from_numpy(x)[:, None]).last_hidden_state.numpy()
    assert expected.std() > 0.3
    np.testing.assert_allclose(outputs(backbone, x), expected, atol=1e-4, rtol=0)


def test_attributes():
    backbone = ASiTBackbone(**TINY)
    assert backbone.grid == (3, 2)
    assert (backbone.num_frames, backbone.num_mel_bins) == (48, 32)
    assert (backbone.hidden_dim, backbone.num_layers) == (24, 2)
    assert (backbone.num_heads, backbone.mlp_dim, backbone.patch_size) == (2, 40, 16)


def test_default_frontend_is_that_of_the_paper():
    frontend = ASiTBackbone(**TINY).frontend
    assert (frontend.num_frames, frontend.num_mel_bins) == (48, 32)
    assert frontend.sample_rate == 32000
    assert (frontend.mean, frontend.std) == (-4.2677393, 4.5689974)


# Stochastic depth.


def test_drop_path_grows_linearly_over_depth():
    backbone = ASiTBackbone(**{**TINY, "num_layers": 5}, drop_path=0.1)
    rates = [block.drop_path for block in backbone.blocks]
    assert rates == pytest.approx([0.0, 0.025, 0.05, 0.075, 0.1])
    backbone.drop_path = 0.2
    rates = [block.drop_path for block in backbone.blocks]
    assert rates == pytest.approx([0.0, 0.05, 0.1, 0.15, 0.2])
    assert backbone.drop_path == backbone.get_config()["drop_path"] == 0.2


def test_drop_path_of_a_single_block():
    backbone = ASiTBackbone(**{**TINY, "num_layers": 1}, drop_path=0.1)
    assert backbone.blocks[0].drop_path == 0.1


def test_drop_path_acts_in_training_only():
    backbone = with_random_weights(ASiTBackbone(**TINY, drop_path=0.9))
    x = spectrograms(16)
    plain = with_random_weights(ASiTBackbone(**TINY))
    np.testing.assert_array_equal(outputs(backbone, x), outputs(plain, x))
    trained = ops.convert_to_numpy(backbone(x, training=True))
    assert np.abs(trained - outputs(plain, x)).max() > 0.1
    trained = ops.convert_to_numpy(plain(x, training=True))
    np.testing.assert_allclose(trained, outputs(plain, x), atol=1e-6)


# Configuration and files.


def frontend():
    return LogMelFilterbank(
        sample_rate=16000, num_mel_bins=32, num_frames=48, mean=-6.6, std=5.4
    )


def test_config_round_trip():
    options = {"drop_path": 0.1, "kernel_std": None, "position_std": 0.5}
    backbone = ASiTBackbone(**TINY, **options, frontend=frontend(), name="ours")
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(backbone)))
    revived = keras.saving.deserialize_keras_object(config)
    assert isinstance(revived, ASiTBackbone)
    again = json.loads(json.dumps(keras.saving.serialize_keras_object(revived)))
    assert again["config"] == config["config"]
    for name, value in TINY.items():
        assert revived.get_config()[name] == value
    assert revived.frontend.get_config() == backbone.frontend.get_config()
    assert revived.drop_path == 0.1
    assert revived.kernel_std is revived.blocks[0].kernel_std is None
    assert revived.position_std == revived.embedding.position_std == 0.5


def test_saved_and_loaded_to_the_bit(tmp_path):
    backbone = ASiTBackbone(**TINY, drop_path=0.1, frontend=frontend())
    with_random_weights(backbone).save(tmp_path / "backbone.keras")
    loaded = keras.saving.load_model(tmp_path / "backbone.keras")
    assert isinstance(loaded, ASiTBackbone)
    for ours, theirs in zip(backbone.weights, loaded.weights, strict=True):
        assert ours.path == theirs.path
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (ours, theirs)))
    np.testing.assert_array_equal(outputs(loaded), outputs(backbone))
    wave = np.random.default_rng(2).uniform(-1, 1, (1, 8000)).astype("float32")
    fbanks = [ops.convert_to_numpy(m.frontend(wave)) for m in (backbone, loaded)]
    np.testing.assert_array_equal(*fbanks)
    assert loaded.drop_path == 0.1


def test_weights_alone_saved_and_loaded(tmp_path):
    backbone = with_random_weights(ASiTBackbone(**TINY))
    backbone.save_weights(tmp_path / "model.weights.h5")
    other = ASiTBackbone(**TINY)
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(outputs(other), outputs(backbone))


def test_a_frozen_backbone_is_frozen_when_it_is_rebuilt():
    """In its layers too: a model around it asks the variables."""
    backbone = ASiTBackbone(**TINY)
    backbone.trainable = False
    revived = ASiTBackbone.from_config(backbone.get_config())
    assert not revived.trainable
    assert not any(weight.trainable for weight in revived.weights)
    revived.trainable = True
    assert all(weight.trainable for weight in revived.weights)


def test_mixed_precision():
    backbone = ASiTBackbone(**TINY, dtype="mixed_bfloat16")
    with_random_weights(backbone)
    assert backbone.dtype_policy.name == "mixed_bfloat16"
    assert all(weight.dtype == "float32" for weight in backbone.weights)
    out = backbone(spectrograms())
    assert keras.backend.standardize_dtype(out.dtype) == "bfloat16"
    plain = outputs(with_random_weights(ASiTBackbone(**TINY)))
    out = ops.convert_to_numpy(ops.cast(out, "float32"))
    np.testing.assert_allclose(out, plain, atol=0.1)
    revived = ASiTBackbone.from_config(backbone.get_config())
    assert revived.embedding.dtype_policy.name == "mixed_bfloat16"
    assert revived.dtype_policy.name == "mixed_bfloat16"


def test_mixed_precision_by_the_global_policy():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        backbone = ASiTBackbone(**TINY)
    finally:
        keras.config.set_dtype_policy(before)
    out = backbone(spectrograms())
    assert keras.backend.standardize_dtype(out.dtype) == "bfloat16"
    revived = ASiTBackbone.from_config(backbone.get_config())
    assert revived.blocks[0].dtype_policy.name == "mixed_bfloat16"


# Bad input.


@pytest.mark.parametrize(
    "change, expected",
    [
        ({"num_heads": 5}, r"num_heads=5 for hidden_dim=24.*Use one of \[1, 2, 3"),
        ({"num_heads": 0}, "num_heads=0"),
        ({"patch_size": 10}, "multiples of patch_size=10.*48 frames and 32 bins"),
        ({"patch_size": 0}, "patch_size is a whole number.*received 0"),
        ({"patch_size": 16.0}, "patch_size is a whole number.*received 16.0"),
        ({"patch_size": float("nan")}, "patch_size is a whole number.*received nan"),
        ({"input_shape": (50, 32)}, "50 frames.*num_frames=48"),
        ({"input_shape": (48, 32, 1)}, r"\(frames, mel bins\).*\(48, 32, 1\)"),
        ({"input_shape": 48}, r"\(frames, mel bins\).*received 48"),
        ({"input_shape": (None, 32)}, r"\(frames, mel bins\).*\(None, 32\)"),
        ({"input_shape": (48.7, 32)}, r"two whole numbers.*received \(48.7, 32\)"),
        ({"input_shape": (-48, 32)}, r"of 1 or more.*received \(-48, 32\)"),
        ({"num_layers": 0}, "num_layers is at least 1; received 0"),
        ({"drop_path": 1.0}, r"\[0, 1\).*received 1.0"),
        ({"drop_path": -0.1}, r"\[0, 1\).*received -0.1"),
        (
            {"frontend": LogMelFilterbank(num_mel_bins=32, num_frames=64)},
            r"input_shape=\(48, 32\).*\(64, 32\).*num_frames=48, num_mel_bins=32",
        ),
        (
            {"frontend": LogMelFilterbank(num_mel_bins=32)},
            r"input_shape=\(48, 32\).*\(None, 32\)",
        ),
    ],
)
def test_arguments_that_do_not_fit(change, expected):
    with pytest.raises(ValueError, match=expected):
        ASiTBackbone(**{**TINY, **change})


@pytest.mark.parametrize(
    "shape", [(2, 32, 48), (2, 48, 33), (2, 48 * 32), (2, 48, 32, 1), (48, 32)]
)
def test_inputs_that_do_not_fit(shape):
    message = (
        f"Expected features (B, 48, 32); received {shape}. Make such features from "
        "waveforms (B, samples) at 32000 Hz with backbone.frontend(waveforms)."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        ASiTBackbone(**TINY)(np.zeros(shape, "float32"))
