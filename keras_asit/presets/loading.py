"""Handles to models: names, directories and addresses of hubs."""

import importlib
import os
import warnings
from pathlib import Path

from keras_asit.models.backbone_of import backbone_of
from keras_asit.presets import architectures, directory, positions


def load(handle, load_weights=None, num_frames=None):
    """Loads a backbone, or a classifier where one was saved.

    Its frontend comes with it: the rate, mel bins and normalisation that the
    weights belong to. The model has to be compiled before it is trained further.

    Args:
        handle: A name of `names()` (an architecture of the paper), a directory
            that `save` wrote, `hf://user/repo` (Hugging Face) or
            `kaggle://user/model/framework/variation`.
        load_weights: True raises where there are no weights; False never looks for
            them; None loads them where they exist, and otherwise warns and
            initialises anew.
        num_frames: Frames T of the input, where it shall differ from the preset's;
            a multiple of the patch. The weights are then those of `resized`: the
            position embeddings are interpolated linearly along time.

    Returns:
        An `ASiTBackbone` or an `ASiTClassifier`.

    Raises:
        ValueError: If the handle is unknown, the directory is no preset or is
            damaged, there are no weights, or the patch does not divide
            `num_frames`.
        ImportError: If the library for `hf://` or `kaggle://` is not installed.

    Example:

    >>> backbone = load("asit_tiny", load_weights=False, num_frames=96)
    >>> tuple(backbone.output.shape)
    (None, 49, 192)
    """
    if handle in architectures.names():
        _without_weights(handle, load_weights, "no weights are shipped for this name")
        return architectures.named_backbone(handle, num_frames)
    folder = _folder(handle)
    model = directory.build(folder)
    has_weights = load_weights is not False and (folder / directory.WEIGHTS).is_file()
    if has_weights:
        directory.load_weights(model, folder)
    else:
        _without_weights(handle, load_weights, f"it has no {directory.WEIGHTS}")
    if has_weights:
        return positions.resized(model, num_frames)
    backbone = backbone_of(model)
    if num_frames in (None, backbone.num_frames):
        return model
    return positions.untrained(model, (num_frames, backbone.num_mel_bins))


def describe(name):
    """What a preset is, without building it.

    Args:
        name: As `load`'s handle.

    Returns:
        A dictionary: `model` (its class), `input_shape`, `patch_size`,
        `hidden_dim`, `num_layers`, `num_heads`, `mlp_dim`, `sample_rate`, `mean`
        and `std` of its frontend, `parameters`, `trained_on`, `weights` (whether
        there are any) and, for a classifier, `class_names`.

    Raises:
        ValueError: If the handle is unknown or the directory is no preset.

    Example:

    >>> entry = describe("asit_tiny")
    >>> entry["hidden_dim"], entry["parameters"], entry["weights"]
    (192, 5445312, False)
    """
    if name in architectures.names():
        return architectures.describe_name(name)
    folder = _folder(name)
    preset, metadata = directory.read_config(folder), directory.read_metadata(folder)
    try:
        return _entry(preset, metadata, (folder / directory.WEIGHTS).is_file())
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{folder} is a damaged preset: {directory.CONFIG} and "
            f"{directory.METADATA} cannot be understood ({error!r}). Save or fetch "
            "it again."
        ) from error


def _entry(preset, metadata, has_weights):
    config, classes = preset["config"], {}
    if "backbone" in config:
        classes = {"class_names": config["class_names"]}
        config = config["backbone"]["config"]
    return {
        "model": preset["class_name"],
        **architectures.sizes(config, config["frontend"]["config"]),
        "parameters": metadata["parameter_count"],
        "trained_on": metadata["trained_on"],
        "weights": has_weights,
        **classes,
    }


def _without_weights(handle, load_weights, why):
    """Raises, warns or keeps silent, as `load_weights` says."""
    if load_weights:
        raise ValueError(
            f"load_weights=True, but {handle}: {why}. Give a preset that has weights, "
            "or load_weights=False for fresh ones."
        )
    if load_weights is None:
        warnings.warn(
            f"{handle}: {why}; initialised anew. load_weights=False says that this is "
            "meant.",
            stacklevel=3,
        )


def _folder(handle):
    """The local directory of a handle that is no name."""
    address = os.fspath(handle)
    if address.startswith("hf://"):
        hub = _hub("huggingface_hub", address)
        files = [directory.CONFIG, directory.METADATA, directory.WEIGHTS]
        repository = address.removeprefix("hf://")
        return Path(hub.snapshot_download(repository, allow_patterns=files))
    if address.startswith("kaggle://"):
        hub = _hub("kagglehub", address)
        return Path(hub.model_download(address.removeprefix("kaggle://")))
    if not Path(address).is_dir():
        raise ValueError(
            f"Unknown preset {address!r}. Expected one of {architectures.names()}, a "
            "directory that keras_asit.presets.save wrote, hf://user/repo or "
            "kaggle://user/model/framework/variation."
        )
    return Path(address)


def _hub(library, address):
    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise ImportError(
            f'{address} needs {library}. Install it: pip install "keras-asit[hub]"'
        ) from error
