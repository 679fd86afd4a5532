"""Which clips go into which shard: drawn once, and kept for every restart."""

import csv
import dataclasses
import hashlib
import io
import itertools
import json
import math

import numpy as np
from tqdm import tqdm

from keras_asit.data.manifest import ManifestError
from keras_asit.data.shards.layout import BYTES, NUMBERS, PLAN, relative_to
from keras_asit.data.shards.lengths import estimate_seconds
from keras_asit.data.targets import names_of

PLAN_JSON, ROWS = f"{PLAN}/plan.json", f"{PLAN}/rows.csv"
_FORMAT = "keras_asit plan of shards, version 1"
_RECORD_BYTES = 150  # of a record besides its samples, about
_HASHED_TOGETHER = 10_000


@dataclasses.dataclass
class Plan:
    """What a set of shards is to be; `rows.csv` beside it has the clips of each.

    Attributes:
        manifest: Dict of the source: `sha256` of its rows, `clips` in it.
        sample_rate: Rate of the clips, in Hz.
        shard_size: Size of a shard, in bytes.
        seed: Seed that the clips are shuffled by.
        class_names: Names of the classes, in order.
        multi_label: Whether a clip may have several labels.
        columns: Header of `rows.csv`: path, label or labels, others, clip.
        starts: Where the rows of each shard begin in `rows.csv`, and their end.
    """

    manifest: dict
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


def make_plan(manifest, folder, sample_rate, shard_size, seed, read_headers=True):
    """Draws the clips of each shard and writes them down.

    All clips are shuffled first, so that each shard is a sample of the whole set:
    whoever reads one shard after the other still meets all classes.

    Args:
        manifest: A `Manifest`.
        folder: An `OutputFolder`.
        sample_rate: Rate of the shards, in Hz.
        shard_size: About how large a shard is to be, in bytes.
        seed: Integer that fixes the order.
        read_headers: Whether audio files may be opened to see how long they are.

    Returns:
        A `Plan`.
    """
    _check_labels(manifest)
    order = np.random.default_rng(seed).permutation(len(manifest))
    samples = estimate_seconds(manifest, read_headers)[order] * sample_rate
    counts = cut(samples * BYTES + _RECORD_BYTES, shard_size)
    columns = _columns(manifest)
    with folder.writing(ROWS) as file:
        starts = [0]
        for rows in _rows_of_shards(manifest, columns, order, counts):
            file.write(rows)
            starts.append(starts[-1] + len(rows))
    plan = Plan(
        manifest=identity(manifest),
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
        return Plan(**fields)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"Expected a plan of asit shards in {folder.full(PLAN_JSON)}. Received one "
            f"that does not fit: {error!r}. Delete the folder and write it anew"
        ) from error


def check_plan(plan, folder, manifest, sample_rate, shard_size, seed):
    """Raises ValueError where a folder was begun for something else."""
    wanted = {"sample_rate": sample_rate, "shard_size": shard_size, "seed": seed}
    differ = [
        f"{name} {getattr(plan, name)}, not {value}"
        for name, value in wanted.items()
        if getattr(plan, name) != value
    ]
    if plan.manifest != identity(manifest):
        differ.append(
            f"another manifest, or labels ({plan.manifest['clips']} clips, now "
            f"{len(manifest)})"
        )
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
        text = io.StringIO(newline="")
        cells = [values(rows) for values in columns.values()]
        csv.writer(text, lineterminator="\n").writerows(zip(*cells))
        yield text.getvalue().encode()


def _check_labels(manifest):
    problems = [
        f"class {name!r}: expected a name without `;` and without outer spaces"
        for name in manifest.class_names
        if ";" in name or not name or name != name.strip()
    ]
    names = set(itertools.chain.from_iterable(map(names_of, set(manifest.labels))))
    problems += [
        f"label {name!r}: expected one of the {len(manifest.class_names)} classes"
        for name in sorted(names.difference(manifest.class_names))
    ]
    if problems:
        raise ManifestError("for shards", problems)
