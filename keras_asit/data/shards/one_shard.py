"""The work of a machine that writes shards: one shard, from its row of the plan on.

A shard is finished when its entry in `plan/done/` exists and the file has the size
that the entry says. The entry comes into being after the file, so a process that is
killed anywhere leaves the shard either finished or not begun.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import tempfile
import zlib

import numpy as np

from keras_asit.audio import AudioError, read
from keras_asit.data.clip_paths import Confinement
from keras_asit.data.shards.layout import (
    BYTES,
    FULL_SCALE,
    PLAN,
    csv_text,
    shard_name,
)
from keras_asit.data.shards.plan import read_rows
from keras_asit.data.shards.records import MOST_BYTES, RecordWriter

DONE = f"{PLAN}/done"


class ShardError(OSError):
    """A shard could not be written: which one, why, and what to do."""


@dataclasses.dataclass
class Job:
    """What all shards of a set have in common; it travels to the workers.

    Attributes:
        folder: The `OutputFolder`.
        audio_root: Folder of the relative paths: a path, or an address of Beam's.
        allow_outside: Whether links may lead out of that folder.
        sample_rate: Rate of the shards, in Hz.
        class_names: Names of the classes, in order.
        shards: Number of shards.
    """

    folder: object
    audio_root: str
    allow_outside: bool
    sample_rate: int
    class_names: list
    shards: int

    def confinement(self):
        """The `Confinement` that a clip must pass before it is opened, or None."""
        is_free = self.allow_outside or "://" in self.audio_root
        return None if is_free else Confinement(self.audio_root)


def write_shard(task, job):
    """Writes a shard, unless it is finished; a runner may well ask twice.

    Args:
        task: (number of the shard, where its rows begin in the plan, where they end).
        job: A `Job`.

    Returns:
        The number of the shard.

    Raises:
        ShardError: where the shard cannot be written. A clip that cannot be read is
            only noted.
    """
    number, start, end = task
    try:
        if not is_finished(job.folder, number, job.shards):
            _write(number, read_rows(job.folder, start, end), job)
    except OSError as error:
        why = " ".join(str(error).split())
        raise ShardError(f"shard {number} cannot be written: {why}") from error
    return number


def is_finished(folder, number, shards):
    """Whether a shard is whole, by its entry and its size."""
    name = shard_name(number, shards)
    if not all(map(folder.exists, (entry_name(number), rows_name(number), name))):
        return False
    entry = parse_entry(folder.read(entry_name(number)))
    return entry is not None and folder.size(name) == entry["bytes"]


def parse_entry(text):
    """The entry of a finished shard as a dict; None where it is damaged."""
    try:
        entry = json.loads(text)
        counts = [entry[name] for name in ("bytes", "clips", "samples")]
        texts = [text for f in entry["failures"] for text in (f["path"], f["reason"])]
    except (ValueError, LookupError, TypeError):
        return None
    fits = all(type(n) is int for n in counts) and all(type(t) is str for t in texts)
    return entry if fits else None


def reads(path, job):
    """Whether a clip that could not be read can be read by now.

    Looking at its size and time of change would not do: rights, links and the state
    of a machine leave no trace there, and copies come with the time of the original.

    Args:
        path: As the plan has it.
        job: A `Job`.
    """
    try:
        _read_pcm(path_of(path, job.audio_root), job.sample_rate, job.confinement())
    except AudioError:
        return False
    return True


def entry_name(number):
    """The file that says that a shard is finished."""
    return f"{DONE}/shard-{number:05}.json"


def rows_name(number):
    """The file with the rows of a shard for `clips.csv`."""
    return f"{DONE}/shard-{number:05}.csv"


def to_pcm(waveform):
    """16-bit little-endian samples of a waveform `[S]` in [-1, 1], as bytes.

    A 16-bit file at the rate of the shards comes back bit by bit.
    """
    scaled = np.rint(np.asarray(waveform, "float32") * np.float32(FULL_SCALE))
    return np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype("<i2").tobytes()


def path_of(path, audio_root):
    """Where a clip of the plan lies."""
    if "://" in path or os.path.isabs(path):
        return path
    if "://" in audio_root:
        return f"{audio_root}/{path}"
    return os.path.join(audio_root, path)


def _write(number, rows, job):
    ids = {name: i for i, name in enumerate(job.class_names)}
    confinement = job.confinement()
    table, failures, samples = [], [], 0
    with job.folder.writing(shard_name(number, job.shards)) as file:
        records = RecordWriter(file)
        for row in rows:
            path, labels, clip = row[0], row[1], int(row[-1])
            full = path_of(path, job.audio_root)
            try:
                pcm = _read_pcm(full, job.sample_rate, confinement)
            except AudioError as error:
                failures.append({"path": path, "reason": error.reason})
                continue
            names = labels.split(";") if labels else []
            offset = records.write(pcm, clip, path, names, [ids[n] for n in names])
            length = len(pcm) // BYTES
            table.append([*row, number, offset, length, zlib.crc32(pcm)])
            samples += length
    job.folder.write(rows_name(number), csv_text(table))
    entry = {"bytes": records.size, "clips": len(table), "samples": samples}
    job.folder.write(entry_name(number), json.dumps(entry | {"failures": failures}))


def _read_pcm(path, sample_rate, confinement):
    """The samples of a clip; anything that is wrong with it is an AudioError."""
    if confinement is not None and not confinement.holds(path):
        raise AudioError(path, confinement.refusal(path))
    try:
        with _on_this_machine(path) as file:
            waveform, _ = read(file, sample_rate=sample_rate)
    except AudioError:
        raise
    except Exception as error:  # one odd file among millions must not end the job
        raise AudioError(path, f"cannot be read: {error!r}") from error
    if BYTES * len(waveform) > MOST_BYTES:
        hours = len(waveform) / sample_rate / 3600
        raise AudioError(
            path, f"lasts {hours:.1f} h, too long for a record. Cut it up."
        )
    return to_pcm(waveform)


@contextlib.contextmanager
def _on_this_machine(path):
    """The path of a clip; of one at an address, that of a copy."""
    if "://" not in path:
        yield path
        return
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, os.path.basename(path))
        source = FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
        with source, open(copy, "wb") as target:
            shutil.copyfileobj(source, target)
        yield copy
