"""Clips of shards by their number: the source of a `ClipReader`, without TensorFlow."""

import functools
import hashlib
import os
import zlib
from collections import namedtuple
from pathlib import Path

import numpy as np

from keras_asit.audio import AudioError
from keras_asit.audio.reading import resample
from keras_asit.data.clips import MOST_OF_A_CLIP, Waveform
from keras_asit.data.manifest_error import ManifestError
from keras_asit.data.shards.layout import (
    BYTES,
    CLIPS,
    FULL_SCALE,
    INDEX,
    NUMBERS,
    PLAN_JSON,
    ShardIndex,
)
from keras_asit.data.sources import read_manifest

# manifest: a `Manifest`; the others: int64 `[N]`, one entry a clip.
ShardTable = namedtuple("ShardTable", ("manifest", *NUMBERS))


def is_shards(path):
    """Whether a path is of a folder that `asit shards` writes, finished or not.

    Raises:
        ValueError: for an address.
    """
    _check_is_no_address(path)
    path = Path(path)
    return path.name == INDEX or any((path / n).is_file() for n in (INDEX, PLAN_JSON))


def _check_is_no_address(path):
    if "://" in str(path):
        raise ValueError(
            f"Expected a path on this machine. Received: the address {path}. Copy it "
            "to a disk first: shards can be written to an address, not read from one"
        )


def read_index(folder):
    """The `ShardIndex` of a folder, after a look at the shards.

    Raises:
        ManifestError: where it is missing or damaged, or shards are missing or of
            another size than it says.
    """
    try:
        index = ShardIndex.from_json((folder / INDEX).read_text(encoding="utf-8"))
    except FileNotFoundError:
        unfinished = f"no {INDEX}: it is not finished. Run asit shards again"
        raise ManifestError(folder, [unfinished]) from None
    except (OSError, ValueError) as error:
        raise ManifestError(folder, [str(error)]) from error
    problems = []
    for shard in index.shards:
        file, expected = folder / shard["name"], shard["bytes"]
        found = os.path.getsize(file) if file.is_file() else None
        if found != expected:
            found = "no such file" if found is None else f"{found} bytes"
            problems.append(
                f"{shard['name']}: expected {expected} bytes, found {found}"
            )
    if problems:
        raise ManifestError(folder, [f"{p}. Copy it again" for p in problems])
    return index


def read_clips(folder, index):
    """`clips.csv` in the order of the manifest that it comes from."""
    classes = index.class_names or None
    # The paths are names here, of files that are not opened.
    manifest = read_manifest(folder / CLIPS, classes, allow_outside=True)
    try:
        numbers = [np.array(manifest.columns.pop(name), "int64") for name in NUMBERS]
    except (KeyError, ValueError, OverflowError) as error:
        unreadable = f"{CLIPS} is damaged ({error}). Copy it again"
        raise ManifestError(folder, [unreadable]) from error
    if len(manifest) != index.clips:
        wrong = f"{CLIPS} has {len(manifest)} clips, expected {index.clips}"
        raise ManifestError(folder, [f"{wrong}. Copy it again"])
    order = np.argsort(numbers[0], kind="stable")
    table = ShardTable(manifest.take(order), *(column[order] for column in numbers))
    if problems := _misplaced(table, index):
        raise ManifestError(folder, [f"{p}. Copy {CLIPS} again" for p in problems])
    return table


def _misplaced(table, index):
    """What of a `ShardTable` cannot be so, by clip."""
    sizes = np.array([shard["bytes"] for shard in index.shards], "int64")
    is_shard = (table.shard >= 0) & (table.shard < len(sizes))
    room = sizes[np.where(is_shard, table.shard, 0)] - table.offset
    fits = (table.offset >= 0) & (table.samples >= 0) & (table.samples <= room // BYTES)
    is_clip = (table.clip >= 0) & (table.clip < index.manifest["clips"])
    is_clip[1:] &= np.diff(table.clip) > 0
    return [
        f"{table.manifest.paths[i]}: there can be no clip {table.clip[i]} at byte "
        f"{table.offset[i]} of shard {table.shard[i]}, of {table.samples[i]} samples"
        for i in np.flatnonzero(~(is_shard & fits & is_clip))
    ]


class Shards:
    """A folder that `asit shards` wrote.

    Args:
        folder: The folder, or its `shards.json`.

    Attributes:
        sample_rate: Rate of the clips, in Hz.
        class_names: Names of the classes, in order.
        files: Paths of the shards.
        clips: Number of clips.

    Raises:
        ValueError: for an address: shards are read from a disk.
        ManifestError: where the folder is not finished, or shards are missing or of
            another size than when they were written.
    """

    def __init__(self, folder):
        _check_is_no_address(folder)
        # Absolute: the workers of a tf.data service have working directories of their
        # own.
        folder = Path(os.path.abspath(folder))
        self.folder = folder.parent if folder.name == INDEX else folder
        self.index = read_index(self.folder)
        self.sample_rate = self.index.sample_rate
        self.class_names = self.index.class_names
        self.files = [str(self.folder / shard["name"]) for shard in self.index.shards]
        self.clips = self.index.clips

    def __len__(self):
        return self.clips

    def __repr__(self):
        return f"<Shards: {self.clips} clips in {len(self.files)} files>"

    @functools.cached_property
    def table(self):
        """The clips by their number in the manifest they come from: a `ShardTable`."""
        return read_clips(self.folder, self.index)

    def clips_of(self, shard):
        """Numbers (in `table`) of the clips of a shard, in the order they lie in it."""
        clips = np.flatnonzero(self.table.shard == shard)
        return clips[np.argsort(self.table.offset[clips], kind="stable")]

    @property
    def manifest(self):
        """The clips as a `Manifest`, for labels, folds and splits."""
        return self.table.manifest


class ShardClips:
    """The clips of shards, each read where it lies.

    Args:
        shards: A `Shards`.
        sample_rate: Rate in Hz that clips are resampled to.
    """

    def __init__(self, shards, sample_rate):
        self.shards, self.sample_rate = shards, sample_rate
        self._rate = shards.sample_rate

    def __len__(self):
        return self.shards.clips

    @property
    def manifest(self):
        """The clips as a `Manifest`, in the order of their numbers."""
        return self.shards.manifest

    @property
    def is_at_rate_of_shards(self):
        """Whether nothing is resampled."""
        return self.sample_rate == self._rate

    def name(self, index):
        return str(self.shards.manifest.paths[index])

    def numbers(self, indices):
        """The numbers of clips in the manifest that the shards were written of."""
        return self.shards.table.clip[indices]

    @functools.cached_property
    def identity(self):
        return hashlib.sha256(self.shards.index.to_json().encode()).hexdigest()[:16]

    def absent(self):
        """None: `Shards` has looked at its files."""
        return []

    def open(self, index, needed=None):
        table = self.shards.table
        clip = _Pcm(
            self.shards.files[table.shard[index]],
            self.name(index),
            int(table.offset[index]),
            int(table.samples[index]),
        )
        if not self.is_at_rate_of_shards:
            whole = clip.checked(int(table.crc32[index]))
            return Waveform(resample(whole, self._rate, self.sample_rate))
        if needed is not None and needed < MOST_OF_A_CLIP * clip.samples:
            return clip
        return Waveform(clip.checked(int(table.crc32[index])))


class _Pcm:
    """A clip inside a shard."""

    def __init__(self, file, name, offset, samples):
        self.file, self.name = file, name
        self.offset, self.samples = offset, samples

    def part(self, first, count):
        return from_pcm(self._bytes(first, count))

    def checked(self, crc32):
        """The whole clip, once it is known to be as it was written."""
        pcm = self._bytes(0, self.samples)
        if zlib.crc32(pcm) != crc32:
            raise AudioError(
                self.name,
                f"is damaged in {self.file}: its checksum differs. Remove that file "
                "and run asit shards again.",
            )
        return from_pcm(pcm)

    def _bytes(self, first, count):
        try:
            with open(self.file, "rb", buffering=0) as file:
                file.seek(self.offset + BYTES * first)
                pcm = file.read(BYTES * count)
        except OSError as error:
            raise AudioError(self.name, f"cannot be read: {error}") from error
        if len(pcm) < BYTES * count:
            raise AudioError(self.name, f"is cut short in {self.file}.")
        return pcm


def from_pcm(pcm):
    """float32 `[S]` in [-1, 1) of bytes of 16-bit little-endian samples."""
    return np.frombuffer(pcm, "<i2").astype("float32") / np.float32(FULL_SCALE)
