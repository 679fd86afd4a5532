"""Vision transformers in the names of Hugging Face's `transformers`."""

import importlib
import json
import re

import numpy as np

from keras_asit.presets.image_transformer import ImageTransformer

MODEL_TYPES = ("vit", "deit")
CONFIG, WEIGHTS = "config.json", "model.safetensors"

# From the names in files, those of transformers 4, to those of its version 5.
_NEWER_NAMES = [
    (r"^(vit|deit)\.", ""),
    (r"^encoder\.layer\.", "layers."),
    (r"\.attention\.attention\.(q|k|v)(uery|ey|alue)\.", r".attention.\1_proj."),
    (r"\.attention\.output\.dense\.", ".attention.o_proj."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"^(layers\.\d+)\.output\.dense\.", r"\1.mlp.fc2."),
]
_LEFT_OUT = re.compile(
    r"(pooler|classifier|cls_classifier|distillation_classifier|decoder)\."
    r"|embeddings\.(mask|distillation)_token$"
)


def read_folder(folder, weights_file=WEIGHTS):
    """The vision transformer in a folder that `save_pretrained` wrote.

    Args:
        folder: A `Path`.
        weights_file: Name of the file with the weights.

    Raises:
        ValueError: If a file is missing or damaged, or the model is another.
        ImportError: If safetensors is not installed.
    """
    load_file, SafetensorError = _safetensors()
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        weights = load_file(folder / weights_file)
    except (OSError, ValueError, SafetensorError) as error:
        raise ValueError(
            f"{folder} cannot be read as a vision transformer ({error}). Expected "
            f"{CONFIG} and {WEIGHTS}, as save_pretrained of transformers writes them."
        ) from error
    return converted(config, weights)


def read_model(model):
    """The vision transformer in a `ViTModel`, a `DeiTModel` or one with a head."""
    weights = {
        name: tensor.detach().cpu().float().numpy()
        for name, tensor in model.state_dict().items()
    }
    return converted(model.config.to_dict(), weights)


def converted(config, weights):
    """An `ImageTransformer` of a configuration and named weights.

    DeiT's distillation token, poolers and heads are left out: ours has none.

    Args:
        config: What `config.json` holds.
        weights: `{name: array}`, the names of transformers 4 or 5.

    Raises:
        ValueError: If the model is another, or a weight is missing, unknown or of
            another shape.
    """
    if config.get("model_type") not in MODEL_TYPES:
        raise ValueError(
            f"Expected a model_type of {list(MODEL_TYPES)} in {CONFIG}; received "
            f"{config.get('model_type')!r}."
        )
    taken = _Weights(weights)
    try:
        vit = _converted(config, taken)
    except KeyError as error:
        raise ValueError(f"{CONFIG} has no {error}; expected one of a ViT.") from error
    taken.check_nothing_is_left()
    return vit


def _converted(config, weights):
    width, hidden = config["hidden_size"], config["intermediate_size"]
    patch, image = _pair(config["patch_size"]), _pair(config["image_size"])
    colours = config.get("num_channels", 3)
    grid = (image[0] // patch[0], image[1] // patch[1])
    place = "embeddings."
    prefix = ["cls"]
    if place + "distillation_token" in weights.names:
        prefix.append("distillation")
    shape = (1, len(prefix) + grid[0] * grid[1], width)
    positions = weights.take(place + "position_embeddings", shape)[0]
    kernel, bias = weights.pair(
        place + "patch_embeddings.projection", (width, colours, *patch)
    )
    return ImageTransformer(
        grid=grid,
        num_heads=config["num_attention_heads"],
        epsilon=config["layer_norm_eps"],
        activation=config["hidden_act"],
        patch_kernel=kernel.transpose(2, 3, 1, 0),
        patch_bias=bias,
        class_token=weights.take(place + "cls_token", (1, 1, width))[0, 0],
        positions=np.concatenate([positions[:1], positions[len(prefix) :]]),
        blocks=[
            _block(weights, f"layers.{i}.", width, hidden, config.get("qkv_bias", True))
            for i in range(config["num_hidden_layers"])
        ],
        norm=weights.pair("layernorm", (width,)),
    )


def _block(weights, place, width, hidden, qkv_bias):
    square = (width, width)
    parts = [
        weights.dense(f"{place}attention.{letter}_proj", square, qkv_bias)
        for letter in "qkv"
    ]
    kernels, biases = zip(*parts)
    return {
        "attention_norm": weights.pair(place + "layernorm_before", (width,)),
        "qkv": (np.concatenate(kernels, axis=1), np.concatenate(biases)),
        "projection": weights.dense(place + "attention.o_proj", square),
        "mlp_norm": weights.pair(place + "layernorm_after", (width,)),
        "expand": weights.dense(place + "mlp.fc1", (hidden, width)),
        "contract": weights.dense(place + "mlp.fc2", (width, hidden)),
    }


class _Weights:
    """Named arrays, of which each is taken once."""

    def __init__(self, weights):
        self.names = {_newer(name): name for name in weights}
        self._arrays = weights

    def take(self, name, shape):
        """An array of a shape, as float32."""
        if name not in self.names:
            raise ValueError(
                f"The weight {name!r} is missing; expected those of a ViTModel or a "
                f"DeiTModel of transformers. Left are {self._some_left()}."
            )
        array = self._arrays[self.names.pop(name)]
        if array.shape != shape:
            raise ValueError(
                f"The weight {name!r} has the shape {array.shape}; expected {shape}, "
                f"as {CONFIG} says."
            )
        return np.asarray(array, "float32")

    def pair(self, name, shape):
        """A weight of a shape and its bias, along the weight's first axis."""
        return self.take(f"{name}.weight", shape), self.take(f"{name}.bias", shape[:1])

    def dense(self, name, shape, has_bias=True):
        """Kernel `(in, out)` and bias `(out,)`, zeros where there is none."""
        if has_bias:
            kernel, bias = self.pair(name, shape)
            return kernel.T, bias
        return self.take(f"{name}.weight", shape).T, np.zeros(shape[0], "float32")

    def check_nothing_is_left(self):
        unknown = self._some_left()
        if unknown:
            raise ValueError(
                f"Weights that a ViT does not have: {unknown}. Expected those of a "
                "ViTModel or a DeiTModel of transformers, and as many layers as "
                f"num_hidden_layers in {CONFIG} says."
            )

    def _some_left(self):
        left = [name for name in self.names if not _LEFT_OUT.match(name)]
        return sorted(left)[:6]


def _newer(name):
    for old, new in _NEWER_NAMES:
        name = re.sub(old, new, name)
    return name


def _pair(size):
    return (size, size) if isinstance(size, int) else tuple(size)


def _safetensors():
    """The reader of the files, and what it raises."""
    try:
        reader = importlib.import_module("safetensors.numpy")
    except ImportError as error:
        raise ImportError(
            f"{WEIGHTS} needs safetensors to be read. Install it: "
            "pip install safetensors"
        ) from error
    return reader.load_file, importlib.import_module("safetensors").SafetensorError
