"""Which clips go into which shard: drawn once, and kept for every restart."""

import csv
import dataclasses
import hashlib
import io
import itertools
import json
import math
import os

import numpy as np
from tqdm import tqdm

from keras_asit.data.manifest import ManifestError
from keras_asit.data.manifest_text import printable
from keras_asit.data.manifest_writing import unwritable
from keras_asit.data.shards.layout import (
    BYTES,
    NUMBERS,
    PLAN,
    PLAN_JSON,
    check_types,
    csv_text,
    relative_to,
)
from keras_asit.data.shards.lengths import estimate_seconds
from keras_asit.data.targets import names_of

ROWS = f"{PLAN}/rows.csv"
_FORMAT = "keras_asit plan of shards, version 2"
_RECORD_BYTES = 150  # of a record besides its samples, about
_HASHED_TOGETHER = 10_000


@dataclasses.dataclass
class Plan:
    """What a set of shards is to be; `rows.csv` beside it has the clips of each.

    Attributes:
        manifest: Dict of the source: `sha256` of its rows, `clips` in it.
        audio_root: Folder of the relative paths: a path, or an address of Beam's.
        sample_rate: Rate of the clips, in Hz.
        shard_size: Size of a shard, in bytes.
        seed: Seed that the clips are shuffled by.
        class_names: Names of the classes, in order.
        multi_label: Whether a clip may have several labels.
        columns: Header of `rows.csv`: path, label or labels, others, clip.
        starts: Where the rows of each shard begin in `rows.csv`, and their end.
    """

    manifest: dict
    audio_root: str
    sample_rate: int
    shard_size: int
    seed: int
    class_names: list
    multi_label: bool
    columns: list
    starts: list

    @property
    def shards(self):
        """Number of shards."""
        return len(self.starts) - 1


def make_plan(manifest, folder, sample_rate, shard_size, seed, address=None):
    """Draws the clips of each shard and writes them down.

    All clips are shuffled first, so that each shard is a sample of the whole set:
    whoever reads one shard after the other still meets all classes.

    Args:
        manifest: A `Manifest`.
        folder: An `OutputFolder`.
        sample_rate: Rate of the shards, in Hz.
        shard_size: About how large a shard is to be, in bytes.
        seed: Integer that fixes the order.
        address: Address of Beam's that the clips lie at, in place of the manifest's
            root. Their headers are not read then.

    Returns:
        A `Plan`.

    Raises:
        ManifestError: where `clips.csv` could not hold the manifest.
    """
    _check(manifest)
    order = np.random.default_rng(seed).permutation(len(manifest))
    seconds = estimate_seconds(manifest, read_headers=address is None)
    counts = cut(seconds[order] * sample_rate * BYTES + _RECORD_BYTES, shard_size)
    columns = _columns(manifest)
    with folder.writing(ROWS) as file:
        starts = [0]
        for rows in _rows_of_shards(manifest, columns, order, counts):
            file.write(rows)
            starts.append(starts[-1] + len(rows))
    plan = Plan(
        manifest=identity(manifest),
        audio_root=address or manifest.root,
        sample_rate=sample_rate,
        shard_size=shard_size,
        seed=seed,
        class_names=[str(name) for name in manifest.class_names],
        multi_label=manifest.is_multi_label,
        columns=list(columns),
        starts=starts,
    )
    fields = {"format": _FORMAT, **dataclasses.asdict(plan)}
    folder.write(PLAN_JSON, json.dumps(fields))  # last: now the plan holds
    return plan


def read_plan(folder):
    """The plan in a folder.

    Raises:
        ValueError: where it is damaged, or of another version.
    """
    try:
        fields = json.loads(folder.read(PLAN_JSON))
        if fields.pop("format") != _FORMAT:
            raise ValueError("it is of another version")
        plan = Plan(**fields)
        check_types(plan)
        if {*map(type, plan.starts)} != {int} or folder.size(ROWS) != plan.starts[-1]:
            raise ValueError(f"{ROWS} is of another size than it says")
        return plan
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"Expected a plan of asit shards in {folder.full(PLAN_JSON)}. Received one "
            f"that does not fit: {error!r}. Delete the folder and write it anew"
        ) from error


def check_plan(plan, folder, manifest, sample_rate, shard_size, seed, address=None):
    """Raises ValueError where a folder was begun for something else."""
    wanted = {"sample_rate": sample_rate, "shard_size": shard_size, "seed": seed}
    differ = [
        f"{name} {getattr(plan, name)}, not {value}"
        for name, value in wanted.items()
        if getattr(plan, name) != value
    ]
    if plan.manifest != identity(manifest):
        differ.append(
            f"another manifest, or labels ({plan.manifest.get('clips')} clips, now "
            f"{len(manifest)})"
        )
    root = address or manifest.root
    if plan.audio_root != root:
        differ.append(f"clips in {plan.audio_root!r}, not {root!r}")
    if differ:
        raise ValueError(
            f"{folder} was begun with {', '.join(differ)}. Expected the same as now: "
            "repeat the former command, name another folder, or delete this one"
        )


def read_rows(folder, start, end):
    """The rows of a shard: lists of strings, in the plan's columns."""
    with folder.open(ROWS) as file:
        file.seek(start)
        text = file.read(end - start).decode()
    return list(csv.reader(io.StringIO(text, newline="")))


def cut(sizes, shard_size):
    """How many clips each shard takes, so that the shards are of about one size.

    Args:
        sizes: Bytes of the clips in order, `[N]`. A larger one than a shard counts
            as one: headers may lie.
        shard_size: The most bytes of a shard, about.

    Returns:
        List of whole numbers above 0, of sum `N`.

    Example:

    >>> cut(np.array([3.0, 3.0, 3.0, 3.0, 3.0]), shard_size=6)
    [2, 1, 2]
    """
    sizes = np.minimum(sizes, shard_size)
    total = sizes.sum()
    shards = max(1, math.ceil(total / shard_size))
    middles = np.cumsum(sizes) - sizes / 2
    return np.unique((middles * shards / total).astype("int64"), return_counts=True)[
        1
    ].tolist()


def identity(manifest):
    """What a manifest is recognised by: a checksum of its rows, and their number."""
    columns = _columns(manifest)
    names = [str(name) for name in manifest.class_names]
    checksum = hashlib.sha256(json.dumps([list(columns), names]).encode())
    for start in range(0, len(manifest), _HASHED_TOGETHER):
        for values in columns.values():
            texts = values(slice(start, start + _HASHED_TOGETHER))
            checksum.update(json.dumps(texts).encode())
    return {"sha256": checksum.hexdigest(), "clips": len(manifest)}


def _columns(manifest):
    """The columns of `rows.csv`: functions of rows that give lists of strings."""

    def texts(column):
        return lambda rows: ["" if v is None else str(v) for v in column[rows]]

    def paths(rows):
        return [relative_to(manifest.root, path) for path in manifest.paths[rows]]

    def labels(rows):
        return [";".join(names_of(label)) for label in manifest.labels[rows]]

    columns = {"path": paths, "labels" if manifest.is_multi_label else "label": labels}
    for name, column in manifest.columns.items():
        while name in (*NUMBERS, *columns):
            name = f"source_{name}"
        columns[name] = texts(column)
    return columns | {"clip": lambda rows: np.arange(len(manifest))[rows].tolist()}


def _rows_of_shards(manifest, columns, order, counts):
    """Yields the rows of each shard as bytes."""
    ends = list(itertools.accumulate(counts))
    for start, end in zip([0, *ends], tqdm(ends, "plan", unit="shard", disable=None)):
        rows = order[start:end]
        cells = [values(rows) for values in columns.values()]
        yield csv_text(zip(*cells)).encode()


def _check(manifest):
    """Raises ManifestError, with all that `clips.csv` could not give back."""
    problems = unwritable(manifest, manifest.root or os.curdir)
    names = set(itertools.chain.from_iterable(map(names_of, set(manifest.labels))))
    problems += [
        f"label {name!r}: expected one of the {len(manifest.class_names)} classes"
        for name in sorted(names.difference(manifest.class_names))
    ]
    rows = {}
    problems += [
        f"row {row}: {printable(path)} is also in row {rows[path]}. Leave one out"
        for row, path in enumerate(manifest.paths)
        if rows.setdefault(path, row) != row
    ]
    if problems:
        raise ManifestError("for shards", problems)
