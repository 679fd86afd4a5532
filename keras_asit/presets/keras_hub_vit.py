"""Vision transformers of keras-hub."""

import importlib

import numpy as np
from keras import ops

from keras_asit.presets.image_transformer import ImageTransformer

MODELS = ("ViTBackbone", "DeiTBackbone")


def load_preset(handle):
    """The backbone of a keras-hub preset: a name, a directory, or an address.

    Raises:
        ImportError: If keras-hub is not installed.
    """
    try:
        keras_hub = importlib.import_module("keras_hub")
    except ImportError as error:
        raise ImportError(
            f"{handle!r} is no folder of a transformers ViT; a preset of keras-hub "
            "needs keras-hub. Install it: pip install keras-hub (it brings the package "
            "tensorflow, which replaces tensorflow-cpu)."
        ) from error
    return keras_hub.models.Backbone.from_preset(handle)


def read_model(model):
    """The vision transformer in a `ViTBackbone`, a `DeiTBackbone` or one with a head.

    Raises:
        ValueError: If the model is another, or has no class token.
    """
    model = getattr(model, "backbone", model)
    if type(model).__name__ not in MODELS:
        raise ValueError(
            f"Expected a keras-hub backbone of {list(MODELS)}; received "
            f"{type(model).__name__}."
        )
    if not getattr(model, "use_class_token", True):
        raise ValueError(
            f"Expected a {type(model).__name__} with a class token; received one made "
            "with use_class_token=False."
        )
    kind = type(model).__name__.removesuffix("Backbone").lower()
    embedding = model.get_layer(f"{kind}_patching_and_embedding")
    encoder = model.get_layer(f"{kind}_encoder")
    kernel, bias = _dense(embedding.patch_embedding)
    positions = embedding.position_embedding
    positions = _array(getattr(positions, "embeddings", positions))
    prefix = 2 if hasattr(embedding, "distillation_token") else 1
    return ImageTransformer(
        grid=_grid(model),
        num_heads=model.num_heads,
        epsilon=model.layer_norm_epsilon,
        activation="gelu",
        patch_kernel=kernel,
        patch_bias=bias,
        class_token=_array(embedding.class_token)[0, 0],
        positions=_without_distillation(positions, prefix),
        blocks=[_block(block) for block in encoder.encoder_layers],
        norm=_norm(encoder.layer_norm),
    )


def _grid(model):
    first = 0 if model.data_format == "channels_last" else 1
    image = model.image_shape[first : first + 2]
    patch = model.patch_size
    patch = (patch, patch) if isinstance(patch, int) else patch
    return tuple(side // part for side, part in zip(image, patch))


def _without_distillation(positions, prefix):
    positions = positions.reshape(-1, positions.shape[-1])
    return np.concatenate([positions[:1], positions[prefix:]])


def _block(block):
    mha = block.mha
    parts = [_dense(d, 1) for d in (mha.query_dense, mha.key_dense, mha.value_dense)]
    kernels, biases = zip(*parts)
    # A ViT has both products in `mlp`, a DeiT the second in `output_layer`.
    is_vit = hasattr(block.mlp, "dense_1")
    return {
        "attention_norm": _norm(block.layer_norm_1),
        "qkv": (np.concatenate(kernels, axis=1), np.concatenate(biases)),
        "projection": _dense(mha.output_dense, 2),
        "mlp_norm": _norm(block.layer_norm_2),
        "expand": _dense(block.mlp.dense_1 if is_vit else block.mlp.dense),
        "contract": _dense(block.mlp.dense_2 if is_vit else block.output_layer.dense),
    }


def _dense(layer, inputs=None):
    """Kernel and bias of a layer, zeros where it has none.

    Args:
        layer: A `Dense`, a `Conv2D`, or an `EinsumDense` of an attention.
        inputs: How many axes of an `EinsumDense`' kernel are of its input: that
            kernel is returned as a matrix.
    """
    kernel = _array(layer.kernel)
    if inputs is not None:
        rows = int(np.prod(kernel.shape[:inputs]))
        kernel = kernel.reshape(rows, -1)
    if layer.bias is None:
        return kernel, np.zeros(kernel.shape[-1], "float32")
    return kernel, _array(layer.bias).reshape(-1)


def _norm(layer):
    return _array(layer.gamma), _array(layer.beta)


def _array(variable):
    return np.asarray(ops.convert_to_numpy(variable), "float32")
