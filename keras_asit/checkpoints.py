"""Checkpoints: the state of a training run, in files that are whole or not there.

A file is a zip of numpy arrays (`np.load` reads it), each with its checksum: the
variables by their number, and `meta`, a text in JSON.
"""

import contextlib
import json
import re
import warnings
import zipfile
from pathlib import Path

import keras
import numpy as np
from keras import ops

from keras_asit import whole_files

FORMAT = "keras_asit checkpoint, version 1"
_FILE = re.compile(r"step-(\d{10,})\.ckpt")
_META = "meta"


class DamagedCheckpoint(ValueError):
    """A file that is not what was written."""


def variables_of(model):
    """All that a training step reads and changes: weights, centres, seeds, optimiser.

    Args:
        model: A compiled `keras.Model`.

    Raises:
        ValueError: where it is not compiled.
    """
    if getattr(model, "optimizer", None) is None:
        raise ValueError(
            "Expected a compiled model: its optimizer is part of a checkpoint. "
            f"Received: {type(model).__name__}, not compiled. Call compile first"
        )
    if not model.optimizer.built:
        strategy = getattr(model, "distribute_strategy", None)  # TensorFlow's
        with strategy.scope() if strategy else contextlib.nullcontext():
            model.optimizer.build(model.trainable_variables)
    return [*model.variables, *model.optimizer.variables]


def values_of(variables):
    """Copies of the values, as numpy: the next step may write where they lie now.

    Where several processes hold parts of a variable, all of them must ask for it.
    """
    if keras.backend.backend() != "jax":
        return [np.array(ops.convert_to_numpy(variable)) for variable in variables]
    values = [variable.value for variable in variables]
    for value in values:
        if value.is_fully_addressable:
            value.copy_to_host_async()  # all at once, not one after the other
    return [_of_jax(value) for value in values]


def _of_jax(value):
    if value.is_fully_addressable or value.is_fully_replicated:
        return np.array(value)
    from jax.experimental import multihost_utils

    return np.array(multihost_utils.process_allgather(value, tiled=True))


def assign(variables, values, source):
    """Gives the variables values; none where one does not fit.

    Args:
        variables: Of `variables_of`.
        values: List of arrays.
        source: What the values are of, for errors.

    Raises:
        ValueError: where their number or a shape is another.
    """
    expected = [tuple(variable.shape) for variable in variables]
    received = [value.shape for value in values]
    if expected != received:
        both = zip([variable.path for variable in variables], expected, received)
        other = [f"{p} {one}, received {two}" for p, one, two in both if one != two]
        counts = f"{len(expected)} variables, received {len(received)}"
        raise ValueError(
            f"Expected in {source} the state of this model and optimizer: "
            f"{(other or [counts])[0]}. Resume with those that the run began with, or "
            "name another folder"
        )
    for variable, value in zip(variables, values):
        if value.dtype.kind == "V":  # bfloat16, which numpy does not know
            value = value.view(np.dtype(variable.dtype))
        variable.assign(value)


def write(directory, step, values, meta):
    """Writes a checkpoint, which gets its name when it is whole and on the disk.

    Args:
        directory: Folder, made where it is missing.
        step: Number of steps done.
        values: List of arrays.
        meta: Dict for JSON.

    Returns:
        Its path.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"step-{step:010}.ckpt"
    text = json.dumps({"format": FORMAT, "step": step, **meta})
    arrays = {str(number): value for number, value in enumerate(values)}
    part = path.with_suffix(".part")
    with whole_files.replacing(path, part, durable=True), open(part, "wb") as file:
        np.savez(file, **arrays, **{_META: np.array(text)})
    return path


def remove_old(directory, keep):
    """Leaves the newest checkpoints, and nothing of one that was not finished.

    Args:
        directory: The folder.
        keep: How many stay.
    """
    for path in [*paths_in(directory)[keep:], *Path(directory).glob("step-*.part")]:
        path.unlink(missing_ok=True)


def paths_in(directory):
    """The checkpoints of a folder, newest first; none where it does not exist.

    Raises:
        ValueError: for a file.
    """
    directory = Path(directory)
    if directory.exists() and not directory.is_dir():
        raise ValueError(
            f"Expected the folder of a Checkpoint. Received: {directory}, a file"
        )
    found = directory.iterdir() if directory.is_dir() else ()
    found = [(_FILE.fullmatch(path.name), path) for path in found]
    found = [(int(match[1]), path) for match, path in found if match]
    return [path for _, path in sorted(found, reverse=True)]


def read(path):
    """Meta data and values of a checkpoint.

    Raises:
        DamagedCheckpoint: where it is not what was written.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            meta = json.loads(str(archive[_META]))
            if meta["format"] != FORMAT:
                raise ValueError(f"it is of the format {meta['format']!r}")
            values = [archive[str(n)] for n in range(len(archive.files) - 1)]
    except (OSError, ValueError, LookupError, TypeError, EOFError) as error:
        raise DamagedCheckpoint(f"{path} is damaged: {error}") from error
    except (zipfile.BadZipFile, NotImplementedError, MemoryError) as error:
        raise DamagedCheckpoint(f"{path} is damaged: {error!r}") from error
    return meta, values


def read_newest(directory):
    """Path, meta data and values of the newest checkpoint that is sound, or None.

    Warns of each newer one that is damaged.
    """
    for path in paths_in(directory):
        try:
            return path, *read(path)
        except DamagedCheckpoint as error:
            warnings.warn(f"{error}. Going back to the one before", stacklevel=2)
    return None
