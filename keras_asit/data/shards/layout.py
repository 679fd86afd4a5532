"""What lies in a folder of shards, and the index of it: names, `shards.json`.

A clip can be found in two ways: TFRecord readers read the shards one record after
the other; `clips.csv` says at which byte of which shard the samples of a clip begin,
so that a plain `seek` and `read` do too.
"""

import csv
import dataclasses
import io
import json
import os
import re

FORMAT = "keras_asit shards, version 1"
INDEX, CLIPS, FAILURES = "shards.json", "clips.csv", "failures.csv"
NUMBERS = ("clip", "shard", "offset", "samples", "crc32")  # columns of clips.csv
PLAN = "plan"  # folder of what the writer needs to go on after an interruption
PLAN_JSON = f"{PLAN}/plan.json"
BYTES = 2  # of a sample
FULL_SCALE = 32768
_MOST_BYTES = 2**63 - 1  # of a shard: what a file can have

_UNITS = {
    "b": 1,
    **{f"{prefix}b": 1000 ** (i + 1) for i, prefix in enumerate("kmgt")},
    **{f"{prefix}ib": 1024 ** (i + 1) for i, prefix in enumerate("kmgt")},
}


def shard_name(number, count):
    """The file of a shard.

    Args:
        number: Its number, from 0 on.
        count: How many shards the set has.

    Example:

    >>> shard_name(12, 100)
    'shard-00012-of-00100.tfrecord'
    """
    return f"shard-{number:05}-of-{count:05}.tfrecord"


def parse_size(size):
    """Bytes of a size as people write it: 256MB, 1.5 GB, 64MiB, or a whole number.

    Args:
        size: Text, or a number of bytes.

    Raises:
        ValueError: for anything else, for less than a byte, and for more than a file
            can have.

    Example:

    >>> parse_size("256MB"), parse_size("64MiB")
    (256000000, 67108864)
    """
    text = str(size).strip().lower()
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?b?)", text)
    unit = _UNITS.get(match[2] or "b") if match else None
    parsed = float(match[1]) * unit if unit else 0.0
    if not 1 <= parsed <= _MOST_BYTES or isinstance(size, bool):
        raise ValueError(
            "Expected the size of a shard as 256MB, 1.5GB, 64MiB or a number of bytes. "
            f"Received: {size!r:.100}"
        )
    return round(parsed)


@dataclasses.dataclass(frozen=True)
class ShardIndex:
    """What `shards.json` says of a set; the file exists only where the set is whole.

    Attributes:
        sample_rate: Rate of the clips, in Hz.
        clips: Number of clips in all shards.
        seconds: Length of all clips.
        class_names: Names of the classes, in the order of `label_ids`.
        multi_label: Whether a clip may have several labels.
        shards: List of dicts: `name`, `clips`, `bytes` of each shard.
        manifest: Dict of the source: `sha256` of its rows, `clips` in it.
        shard_size: Size of a shard that was asked for, in bytes.
        seed: Seed that the clips were shuffled by.

    Example:

    >>> index = ShardIndex(32000, 1, 5.0, ["dog"], False, [{"name":
    ...     "shard-00000-of-00001.tfrecord", "clips": 1, "bytes": 320086}],
    ...     {"sha256": "0b", "clips": 2}, 256000000, 0)
    >>> ShardIndex.from_json(index.to_json()) == index, index.failures
    (True, 1)
    """

    sample_rate: int
    clips: int
    seconds: float
    class_names: list
    multi_label: bool
    shards: list
    manifest: dict
    shard_size: int
    seed: int

    @property
    def failures(self):
        """How many clips of the source could not be read."""
        return self.manifest["clips"] - self.clips

    @property
    def bytes(self):
        """Size of all shards."""
        return sum(shard["bytes"] for shard in self.shards)

    def to_json(self):
        """The text of `shards.json`."""
        return json.dumps({"format": FORMAT, **dataclasses.asdict(self)}, indent=1)

    @classmethod
    def from_json(cls, text):
        """The index of a text.

        Raises:
            ValueError: where it is not what `to_json` gives.
        """
        try:
            fields = json.loads(text)
            if fields.pop("format") != FORMAT:
                raise ValueError("it is of another format")
            index = cls(**fields)
            check_types(index)
            index._check_values()
            return index
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ValueError(
                f"Expected {INDEX} as asit shards writes it ({FORMAT}). Received one "
                f"that does not fit: {error!r}. Write the shards anew"
            ) from error

    def _check_values(self):
        if self.sample_rate < 1:
            raise ValueError(f"sample_rate is {self.sample_rate}")
        if not all(isinstance(name, str) for name in self.class_names):
            raise ValueError("a class name is no text")
        for shard in self.shards:
            if not _is_shard(shard):
                raise ValueError(f"expected name, clips and bytes, not {shard!r:.100}")
        clips = sum(shard["clips"] for shard in self.shards)
        if clips != self.clips:
            raise ValueError(f"its shards have {clips} clips, not {self.clips}")
        if not _is_count(self.manifest.get("clips")) or self.failures < 0:
            raise ValueError(f"manifest is {self.manifest!r:.100}")


def _is_shard(shard):
    return (
        isinstance(shard, dict)
        and isinstance(shard.get("name"), str)
        and os.path.basename(shard["name"]) == shard["name"]
        and all(_is_count(shard.get(name)) for name in ("clips", "bytes"))
    )


def _is_count(value):
    return type(value) is int and value >= 0


def check_types(record):
    """Raises ValueError where a field of a dataclass is not of the type it states."""
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        types = (int, float) if field.type is float else (field.type,)
        if type(value) not in types:
            raise ValueError(f"{field.name} is {value!r:.100}")


def csv_text(rows):
    """Rows as the text of a CSV."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def relative_to(root, path):
    """The path as `clips.csv` has it: with `/`, relative to the root if inside it."""
    inside = root.rstrip("/" + os.sep) + os.sep
    if root and path.startswith(inside):
        path = path[len(inside) :]
    return path.replace(os.sep, "/")
