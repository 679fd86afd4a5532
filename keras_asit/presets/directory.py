"""A preset on disk: a directory of config, metadata and weights."""

import hashlib
import json
import tempfile
from pathlib import Path

import keras

from keras_asit.models import ASiTBackbone, ASiTClassifier, ASiTPretrainer
from keras_asit.version import __version__

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
DIGEST = "weights_sha256"

_MODELS = (ASiTBackbone, ASiTClassifier)
_KINDS = [f"keras_asit>{kind.__name__}" for kind in _MODELS]


def save(model, directory, trained_on=""):
    """Saves a model as a preset: `config.json`, `metadata.json`, `model.weights.h5`.

    Optimizer and losses are not part of it. The directory may hold other files,
    which stay. An interrupted `save` leaves the old preset, the new one, or a
    directory that `load` refuses, never a mixture.

    Args:
        model: An `ASiTBackbone`, an `ASiTClassifier`, or an `ASiTPretrainer`, of
            which the teacher's backbone is saved, the one to use downstream.
        directory: Where to; a preset that is there is replaced.
        trained_on: What the weights were trained on, in words.

    Raises:
        ValueError: If the model is another, or the directory holds files of these
            names that are no ASiT preset.

    Example:

    >>> import os, tempfile, keras_asit
    >>> backbone = keras_asit.models.ASiTBackbone(
    ...     (96, 128), hidden_dim=64, num_layers=2, num_heads=2, mlp_dim=128)
    >>> directory = os.path.join(tempfile.mkdtemp(), "preset")
    >>> save(backbone, directory, trained_on="nothing, an example")
    >>> sorted(os.listdir(directory))
    ['config.json', 'metadata.json', 'model.weights.h5']
    >>> keras_asit.presets.describe(directory)["trained_on"]
    'nothing, an example'

    Reference:
        The names of the files are those of keras-hub's presets.
    """
    if isinstance(model, ASiTPretrainer):
        model = model.teacher
    if not isinstance(model, _MODELS):
        raise ValueError(
            "model is an ASiTBackbone, ASiTClassifier or ASiTPretrainer; received "
            f"{type(model).__name__}."
        )
    directory = Path(directory)
    _check_replaceable(directory)
    # Inside a directory that exists: only there is writing known to be allowed, and
    # the file system the same.
    place = directory if directory.exists() else directory.parent
    place.mkdir(parents=True, exist_ok=True)
    prefix = f".{directory.name}-"
    with tempfile.TemporaryDirectory(dir=place, prefix=prefix) as unfinished:
        new = Path(unfinished) / "preset"
        new.mkdir()
        _write_json(new / CONFIG, _serialized(model))
        model.save_weights(new / WEIGHTS)
        metadata = {**_metadata(model, trained_on), DIGEST: _digest(new / WEIGHTS)}
        _write_json(new / METADATA, metadata)
        _move(new, directory)


def read_config(directory):
    """The serialized model of a preset, checked to be one of ours.

    Raises:
        ValueError: If the directory is no ASiT preset.
    """
    config = _read_json(directory / CONFIG)
    kind = config.get("registered_name")
    if kind not in _KINDS:
        raise ValueError(
            f"{directory / CONFIG} is not of an ASiT preset: expected registered_name "
            f"of {_KINDS}; received {kind!r}."
        )
    return config


def read_metadata(directory):
    """What `save` noted: versions, class, size, training data, weights' digest."""
    return _read_json(directory / METADATA)


def build(directory):
    """The model of a preset with fresh weights."""
    config = read_config(directory)
    try:
        model = keras.saving.deserialize_keras_object(config)
        if not isinstance(model, _MODELS):
            raise TypeError(f"it gives a {type(model).__name__}")
        return model
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{directory / CONFIG} does not describe a model ({error}). It may be of "
            "another version of keras_asit: metadata.json names it."
        ) from error


def load_weights(model, directory):
    """Loads a preset's weights into its model.

    Raises:
        ValueError: If the file is damaged or of another architecture.
    """
    try:
        _check_digest(directory)
        model.load_weights(directory / WEIGHTS)
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"{directory / WEIGHTS} cannot be loaded: it is damaged, or not of the "
            f"model in {CONFIG}. Save or fetch it again. ({error})"
        ) from error


def _serialized(model):
    """The model's config, without traces of how it was trained.

    The teacher's weights are frozen in pretraining; whoever loads them trains.
    """
    serialized = keras.saving.serialize_keras_object(model)
    for key in ("build_config", "compile_config"):
        serialized.pop(key, None)
    if isinstance(model, ASiTClassifier):
        serialized["config"]["backbone"] = _serialized(model.backbone)
    else:
        serialized["config"]["trainable"] = True
    return serialized


def _metadata(model, trained_on):
    return {
        "keras_version": keras.version(),
        "keras_asit_version": __version__,
        "model": type(model).__name__,
        "parameter_count": model.count_params(),
        "trained_on": trained_on,
    }


def _check_digest(directory):
    """Raises where the weights are not those saved; older presets do not tell."""
    if not (directory / METADATA).exists():
        return
    expected = read_metadata(directory).get(DIGEST)
    if expected is not None and _digest(directory / WEIGHTS) != expected:
        raise ValueError(
            f"its SHA-256 is not that in {METADATA}: the file is damaged, copy it again"
        )


def _digest(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_json(path, content):
    text = json.dumps(content, indent=2, sort_keys=True)
    path.write_text(text + "\n", encoding="utf-8")


def _read_json(path):
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"expected an object, received {type(content).__name__}")
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{path} cannot be read ({error}). A preset holds {CONFIG}, {METADATA} and "
            f"{WEIGHTS}, as keras_asit.presets.save writes them."
        ) from error
    return content


def _check_replaceable(directory):
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"{directory} is a file; name a directory.")
    if any((directory / name).exists() for name in (CONFIG, METADATA, WEIGHTS)):
        try:
            read_config(directory)
        except ValueError as error:
            raise ValueError(
                f"{directory} is no preset, but holds files that a preset would "
                f"overwrite. Save elsewhere or remove them. ({error})"
            ) from error


def _move(new, directory):
    """Moves a finished preset into place; without a config there is no preset."""
    if not directory.exists():
        new.rename(directory)
        return
    (directory / CONFIG).unlink(missing_ok=True)
    for name in (WEIGHTS, METADATA, CONFIG):
        (new / name).replace(directory / name)
