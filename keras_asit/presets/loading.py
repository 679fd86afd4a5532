"""Handles to models: names, directories and addresses of hubs."""

import importlib
import os
import warnings
from pathlib import Path

import keras
import numpy as np

from keras_asit.layers.patch_embedding import patch_grid
from keras_asit.models import ASiTBackbone, ASiTClassifier
from keras_asit.presets import architectures, directory


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
            a multiple of the patch. The position embeddings are then interpolated
            linearly along time; that of the class token stays.

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
    if num_frames in (None, _backbone(model).num_frames):
        return model
    resized = _with_num_frames(model, num_frames)
    if has_weights:
        _copy_weights(model, resized)
    return resized


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


# Another number of frames.


def _backbone(model):
    return model.backbone if isinstance(model, ASiTClassifier) else model


def _with_num_frames(model, num_frames):
    """The same model, weights aside, for another number of frames."""
    if isinstance(model, ASiTClassifier):
        backbone = _with_num_frames(model.backbone, num_frames)
        serialized = keras.saving.serialize_keras_object(backbone)
        return ASiTClassifier.from_config(
            {**model.get_config(), "backbone": serialized}
        )
    shape = (num_frames, model.num_mel_bins)
    patch_grid(shape, model.patch_size)  # raises where the patch does not divide it
    frontend = model.frontend.get_config()
    frontend = type(model.frontend).from_config({**frontend, "num_frames": num_frames})
    config = {**model.get_config(), "input_shape": shape, "frontend": frontend}
    return ASiTBackbone.from_config(config)


def _copy_weights(model, resized):
    """Copies all weights; the position embeddings are interpolated."""
    old, new = _backbone(model), _backbone(resized)
    positions = new.embedding.position_embedding
    for theirs, ours in zip(model.weights, resized.weights, strict=True):
        value = keras.ops.convert_to_numpy(theirs)
        if ours is positions:
            value = interpolated_positions(value, old.grid, new.grid[0])
        ours.assign(value)


def interpolated_positions(positions, grid, time_steps):
    """Position embeddings for another number of time steps, linear along time.

    Steps lie at the middle of their patches over a clip of the same length, so the
    first and the last step of a longer grid lie outside and take the border's
    value.

    Args:
        positions: `(1, 1 + P, D)`, the class token's first.
        grid: Patches along time and frequency, `P = grid[0] * grid[1]`.
        time_steps: The new number of patches along time.

    Returns:
        `(1, 1 + time_steps * grid[1], D)`, of the same type.
    """
    width = positions.shape[-1]
    by_time = positions[0, 1:].reshape(grid[0], grid[1] * width)
    middle = (np.arange(time_steps) + 0.5) * grid[0] / time_steps - 0.5
    middle = np.clip(middle, 0, grid[0] - 1)
    left = np.floor(middle).astype(int)
    right = np.minimum(left + 1, grid[0] - 1)
    share = (middle - left)[:, None]
    between = (1 - share) * by_time[left] + share * by_time[right]
    resized = between.reshape(1, -1, width).astype(positions.dtype)
    return np.concatenate([positions[:, :1], resized], axis=1)
