import json

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

    def affine(name, layer):
        return {f"{name}.weight": layer.kernel.numpy().T, f"{name}.bias": layer.bias}

    def norm(name, layer):
        return {f"{name}.weight": layer.gamma, f"{name}.bias": layer.beta}

    embedding, width = backbone.embedding, backbone.hidden_dim
    side = backbone.patch_size
    kernel = ops.convert_to_numpy(embedding.projection.kernel)
    named = {
        "embeddings.cls_token": embedding.class_token,
        "embeddings.position_embeddings": embedding.position_embedding,
        "embeddings.patch_embeddings.projection.weight": kernel.T.reshape(
            width, 1, side, side
        ),
        "embeddings.patch_embeddings.projection.bias": embedding.projection.bias,
        **norm("layernorm", backbone.get_layer("norm")),
    }
    return named, affine, norm
