"""A backbone that begins with what a vision transformer learned from images."""

import json
import os
from pathlib import Path

import keras

from keras_asit.presets import hugging_face_vit, keras_hub_vit
from keras_asit.presets.image_transformer import COLOURS, TIME_AXES


def from_vision_transformer(
    source,
    input_shape=(592, 128),
    frontend=None,
    colours="mean",
    time_axis="height",
    **arguments,
):
    """A backbone with the weights of a vision transformer of images.

    ImageNet as the start of training on audio, or of self-supervised pretraining
    (paper, Table III). Patch projection, class token, blocks and final normalisation
    are copied; positions are interpolated as `resized` does. What a spectrogram has
    no use for is left out: the head, the pooler, and DeiT's distillation token with
    its position.

    A spectrogram has one channel, so the patch kernel is averaged over the colours.
    A spectrogram x then gives the tokens of a grey image of x / 3 in each of three
    channels; with the sum, those of x in each.

    Args:
        source: A `ViTBackbone` or `DeiTBackbone` of keras-hub, or the name, directory
            or address of its preset; or a `ViTModel` or `DeiTModel` of transformers,
            with a head or without, or the folder that its `save_pretrained` wrote, or
            the `.safetensors` file in it.
        input_shape: Frames T and mel bins F, multiples of the source's patch.
        frontend: The `LogMelFilterbank` of the audio, as of an `ASiTBackbone`.
        colours: `"mean"` or `"sum"` of the patch kernel over the colours.
        time_axis: The axis of the image, `"height"` or `"width"`, that time runs along.
            `"height"` keeps images and spectrograms `(T, F)` in the same order.
        **arguments: Others of an `ASiTBackbone`: `drop_path`, `rematerialise`,
            `dtype`, `name`. Its sizes are the source's.

    Returns:
        An `ASiTBackbone`. Its values are the source's, in memory of its own.

    Raises:
        ValueError: If the source is another network, or its weights are missing,
            unknown or of another shape; if its patch does not divide the input, or
            `colours` or `time_axis` is another.
        ImportError: If keras-hub, or safetensors, is needed and not installed.

    Example:

    >>> import transformers
    >>> config = transformers.ViTConfig(
    ...     image_size=32, patch_size=16, hidden_size=16, num_hidden_layers=1,
    ...     num_attention_heads=2, intermediate_size=24)
    >>> vit = transformers.ViTModel(config)
    >>> backbone = keras_asit.presets.from_vision_transformer(vit, (96, 32))
    >>> backbone.grid, tuple(backbone.output.shape)
    ((6, 2), (None, 13, 16))

    Reference:
        Gong et al., AST: Audio Spectrogram Transformer, 2021, Section 2.2. Its text
        averages the colours, its code sums them, and there time is the width.
    """
    if colours not in COLOURS or time_axis not in TIME_AXES:
        raise ValueError(
            f"colours is one of {list(COLOURS)} and time_axis of {list(TIME_AXES)}; "
            f"received colours={colours!r}, time_axis={time_axis!r}."
        )
    vit = _read(source)
    if time_axis == "width":
        vit = vit.transposed()
    return vit.backbone(input_shape, frontend, colours, **arguments)


def _read(source):
    """The `ImageTransformer` of any source."""
    if isinstance(source, keras.Model):
        return keras_hub_vit.read_model(source)
    if hasattr(source, "state_dict") and hasattr(source, "config"):
        return hugging_face_vit.read_model(source)
    if not isinstance(source, (str, os.PathLike)):
        raise ValueError(
            "source is a keras-hub ViTBackbone or its preset, or a transformers "
            f"ViTModel or its folder; received {type(source).__name__}."
        )
    path = Path(source)
    if path.suffix == ".safetensors":
        return hugging_face_vit.read_folder(path.parent, path.name)
    if path.is_dir() and not _is_keras_hub_preset(path):
        return hugging_face_vit.read_folder(path)
    return keras_hub_vit.read_model(keras_hub_vit.load_preset(os.fspath(source)))


def _is_keras_hub_preset(folder):
    """Whether a folder's `config.json` is a serialized Keras model."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(config, dict) and "registered_name" in config
