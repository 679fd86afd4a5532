"""Checkpoints: the state of a training run, in files that are whole or not there.

A file is a zip of numpy arrays (`np.load` reads it), each with its checksum: the
variables by their number, and `meta`, a text in JSON.
"""

import contextlib
import errno
import json
import re
import warnings
from pathlib import Path

import keras
import numpy as np
from keras import ops

from keras_asit import whole_files

FORMAT = "keras_asit checkpoint, version 1"
_FILE = re.compile(r"step-(\d{10,})\.ckpt")
_META = "meta"
_COUNTER = re.compile(r"_\d+(?=[/_]|$)")


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
    build_optimizer(model)
    return [*model.variables, *model.optimizer.variables]


def build_optimizer(model):
    """Makes the variables of a compiled model's optimizer, where there are none yet."""
    if not model.optimizer.built:
        strategy = getattr(model, "distribute_strategy", None)  # TensorFlow's
        with strategy.scope() if strategy else contextlib.nullcontext():
            model.optimizer.build(model.trainable_variables)


def seed_states(model):
    """What a model's random generators draw from: variables that are no weights."""
    weights = {id(variable) for variable in model.weights}
    return [v for v in model.variables if id(v) not in weights]


def identity_of(model):
    """For the meta data: what a state is of, but for the counters in Keras' names.

    The scopes of an optimizer's variables depend on where it was built: they are left
    out.
    """
    optimizers = [model.optimizer]
    if hasattr(model.optimizer, "inner_optimizer"):
        optimizers.append(model.optimizer.inner_optimizer)
    variables = variables_of(model)
    names = [variable.path for variable in variables]
    first = len(model.variables)
    names[first:] = [name.rsplit("/", 1)[-1] for name in names[first:]]
    types = [keras.backend.standardize_dtype(v.dtype) for v in variables]
    return {
        "optimizer": " of ".join(type(each).__name__ for each in optimizers),
        "variables": [[_COUNTER.sub("", n), d] for n, d in zip(names, types)],
    }


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


def check(model, meta, values, source):
    """Raises where a checkpoint is of another model or optimizer.

    Args:
        model: A compiled `keras.Model`.
        meta: Dict, with that of `identity_of`; older ones have shapes alone.
        values: List of arrays.
        source: What they are of, for errors.

    Raises:
        ValueError: where the optimizer, the number of variables, a name, a type or a
            shape is another.
    """
    mine, variables = identity_of(model), variables_of(model)
    its = {**mine, **{name: meta[name] for name in mine if name in meta}}
    if mine["optimizer"] != its["optimizer"]:
        difference = f"{mine['optimizer']}, received {its['optimizer']}"
    else:
        expected = [
            f"{name} {tuple(variable.shape)} {dtype}"
            for (name, dtype), variable in zip(mine["variables"], variables)
        ]
        received = [
            f"{name} {value.shape} {dtype}"
            for (name, dtype), value in zip(its["variables"], values)
        ]
        both = zip(expected, received)
        others = (f"{one}, received {two}" for one, two in both if one != two)
        counts = f"{len(variables)} variables, received {len(values)}"
        same = len(variables) == len(values)
        difference = next(others, "" if same else counts)
    if difference:
        raise ValueError(
            f"Expected in {source} the state of this model and optimizer: "
            f"{difference}. Resume with those that the run began with, or name "
            "another folder"
        )


def assign(variables, values):
    """Gives variables values that fit them."""
    for variable, value in zip(variables, values, strict=True):
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
    for left in directory.glob("step-*.part"):  # by a run that was killed
        left.unlink(missing_ok=True)
    with whole_files.replacing(path, part, durable=True), open(part, "wb") as file:
        np.savez(file, **arrays, **{_META: np.array(text)})
    return path


def remove_old(directory, keep, newest):
    """Leaves the newest checkpoints of a run.

    Files of later steps are of another run, or damaged: they do not count, and stay.

    Args:
        directory: The folder.
        keep: How many stay.
        newest: Step of the one that was just written.
    """
    done = [path for path in paths_in(directory) if step_of(path) <= newest]
    for path in done[keep:]:
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
    found = [path for path in found if _FILE.fullmatch(path.name)]
    return sorted(found, key=step_of, reverse=True)


def step_of(path):
    """The number of steps in the name of a checkpoint."""
    return int(_FILE.fullmatch(path.name)[1])


def read(path):
    """Meta data and values of a checkpoint.

    Raises:
        DamagedCheckpoint: where it is not what was written.
        OSError: where it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            meta = json.loads(str(archive[_META]))
            if meta["format"] != FORMAT:
                raise ValueError(f"it is of the format {meta['format']!r}")
            values = [archive[str(n)] for n in range(len(archive.files) - 1)]
    except Exception as error:  # of zipfile, zlib, numpy's parser of headers, json
        of_system = isinstance(error, OSError) and error.errno is not None
        if of_system and error.errno != errno.EINVAL:  # a seek to where nothing is
            reason = f"{path} cannot be read: {error.strerror}"
            raise type(error)(error.errno, reason) from error
        raise DamagedCheckpoint(f"{path} is damaged: {error!r}") from error
    return meta, values


def read_newest(directory):
    """Path, meta data and values of the newest checkpoint that is sound, or None.

    Warns of each newer one that is damaged.

    Raises:
        DamagedCheckpoint: where there are some, and all are damaged.
        OSError: where one cannot be read.
    """
    damaged = []
    for path in paths_in(directory):
        try:
            found = path, *read(path)
        except DamagedCheckpoint as error:
            damaged.append(str(error))
            continue
        for error in damaged:
            warnings.warn(f"{error}. Going back to the one before", stacklevel=2)
        return found
    if damaged:
        raise DamagedCheckpoint(
            f"Expected a checkpoint that can be read in {directory}. Received: "
            f"{'; '.join(damaged)}. Name another folder to begin anew"
        )
    return None


def set_aside(directory, step):
    """Renames damaged checkpoints of later steps to `*.damaged`; warns of each."""
    for path in paths_in(directory):
        if step_of(path) > step and not is_sound(path):
            aside = path.with_name(f"{path.name}.damaged")
            try:
                path.replace(aside)
            except OSError as error:  # it stays, and is warned of by each who resumes
                told = f"{path} is damaged, and could not be renamed: {error}"
            else:
                told = f"{path} is damaged, and now has the name {aside.name}"
            warnings.warn(told, stacklevel=2)


def is_sound(path):
    """Whether a checkpoint is there and is what was written."""
    try:
        read(path)
    except (DamagedCheckpoint, FileNotFoundError):
        return False
    return True
