"""Clips as waveforms: reading that survives broken files, whole or in part.

Everything here is numpy and runs in reader threads, on every backend alike.
"""

import functools
import hashlib
import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_asit.audio import AudioError, length, read
from keras_asit.audio.reading import resampled_length
from keras_asit.data.manifest import Manifest

CACHE_BYTES = 4 << 30
MOST_OF_A_CLIP = 0.75  # from this share on a clip is decoded whole, and once
_LOOKED_UP_AHEAD = 10_000
_ABSENT = "does not exist. Check the path."


class TooManyBrokenFiles(ValueError):
    """More of a set cannot be read than may be passed over."""


class ClipReader:
    """Reads clips by number; a broken one is remembered, not raised.

    One truncated file among many must not end a run, and a run must not go on
    quietly without its data: failures are counted, reported at the end of every
    epoch that met one, and raise as soon as they are more than a given share of
    the set.
    A file that failed once is not tried again, unless only a part of it was asked for:
    another part may be sound, and must be given however a run came there. Safe to use
    from many threads.

    Args:
        clips: Paths of the clips, a `Manifest`, or another source of clips with
            the methods of `AudioFiles`.
        sample_rate: Rate in Hz that clips are resampled to.
        cache: Whether waveforms stay in memory (float32) once read, up to
            `CACHE_BYTES` in all.
        max_failure_share: Share of the set that may fail.

    Attributes:
        failures: Dict of path to reason.

    Raises:
        ValueError: without a path, or for a share out of range.
        TooManyBrokenFiles: at once when too many files of a set of at most
            10,000 clips do not exist; else while reading.

    Example:
        reader = ClipReader(manifest, sample_rate=32000)
        wave = reader.read(0)  # float32 [S], or None
    """

    def __init__(self, clips, sample_rate, cache=False, max_failure_share=0.05):
        if not 0.0 <= max_failure_share <= 1.0:
            raise ValueError(
                "Expected max_failure_share between 0 and 1. "
                f"Received: {max_failure_share}"
            )
        if not len(clips):
            raise ValueError(
                "Expected the path of at least one clip. Received: none. Check what "
                "the manifest was reduced to"
            )
        self.clips = clips if hasattr(clips, "open") else AudioFiles(clips, sample_rate)
        self.sample_rate = sample_rate
        self.cache = cache
        self.max_failure_share = max_failure_share
        self.failures = {}
        self._failed_in_part = set()  # names
        self._waves, self._cached_bytes = {}, 0
        self._epoch, self._met_a_failure = 0, False
        self._lock = threading.Lock()
        self._look_up_ahead()

    def __len__(self):
        return len(self.clips)

    def read(self, index):
        """The waveform `[S]` of a clip, float32 in [-1, 1], or None if broken."""
        return self.attempt(index, _whole)

    def attempt(self, index, make, needed=None):
        """What `make` makes of a clip, or None if the clip is broken.

        Args:
            index: Number of the clip.
            make: Function of an open clip, which has `samples`, its length, and
                `part(first, count)`, the samples `[count]` from the first on.
            needed: How many samples `make` will ask for. Where they are far fewer
                than the clip has, only those are decoded. None: all.
        """
        made = self._attempt(index, make, needed)
        if made is None:
            self._raise_if_too_many()
        return made

    def attempt_from(self, index, make, needed=None):
        """The same of the first clip from `index` on that can be read, and its number.

        Batches keep their size and epochs their length when a clip is broken.
        """
        for number in range(index, index + len(self)):
            made = self.attempt(number % len(self), make, needed)
            if made is not None:
                return made, number % len(self)
        raise TooManyBrokenFiles(self.describe_failures())

    def read_or_next(self, index):
        """The first readable clip from `index` on, and its number."""
        return self.attempt_from(index, _whole)

    def readable(self, workers=None):
        """Numbers of the clips that can be read, in order, by reading them all."""
        is_readable = np.zeros(len(self), bool)
        with ThreadPoolExecutor(workers or available_cpus()) as pool:
            for first in range(0, len(self), _LOOKED_UP_AHEAD):
                part = range(first, min(first + _LOOKED_UP_AHEAD, len(self)))
                found = pool.map(lambda i: self._attempt(i, _whole) is not None, part)
                is_readable[part.start : part.stop] = list(found)
        indices = np.flatnonzero(is_readable)
        self._report("")
        return indices

    def pass_over(self, indices, reason):
        """Count clips that something else could not read.

        Raises:
            TooManyBrokenFiles: where they are more than may be passed over.
        """
        self._remember(map(self.clips.name, indices), reason)
        self._raise_if_too_many()

    def end_of_epoch(self):
        """Warn where clips were passed over in it; raise if they are too many."""
        self._epoch += 1
        self._report(f"epoch {self._epoch}: ")

    def describe_failures(self):
        """How many clips failed, and why the first three by name did."""
        with self._lock:
            failed = sorted(self.failures.items())  # not in the threads' order
        lines = [f"{len(failed)} of {len(self)} clips could not be read:"]
        lines += [f"{path}: {reason}" for path, reason in failed[:3]]
        lines += ["..."] if len(failed) > 3 else []
        return "\n  ".join(lines)

    def _attempt(self, index, make, needed=None):
        name = self.clips.name(index)
        if name in self.failures and name not in self._failed_in_part:
            self._met_a_failure = True
            return None
        clip = None
        try:
            clip = self._open(index, needed)
            return make(clip)
        except AudioError as error:
            if clip is not None:
                self._failed_in_part.add(name)
            self._remember([name], error.reason)
            return None

    def _remember(self, names, reason):
        with self._lock:
            self.failures.update(dict.fromkeys(names, reason))
        self._met_a_failure = True

    def _open(self, index, needed):
        wave = self._waves.get(index)
        if wave is not None:
            return Waveform(wave)
        if not self.cache or self._cached_bytes > CACHE_BYTES:
            return self.clips.open(index, needed)
        wave = _whole(self.clips.open(index, None))
        self._waves[index] = wave
        self._cached_bytes += wave.nbytes
        return Waveform(wave)

    def _report(self, when):
        self._raise_if_too_many()
        if self._met_a_failure:
            self._met_a_failure = False
            text = when + self.describe_failures()
            # A registry of its own: Python shows a text only once for each.
            warnings.warn_explicit(text, UserWarning, __file__, 0, __name__, {})

    def _raise_if_too_many(self):
        share = len(self.failures) / len(self)
        if share > self.max_failure_share:
            raise TooManyBrokenFiles(
                f"{self.describe_failures()}\nThat is {share:.1%}, more than the "
                f"{self.max_failure_share:.1%} that may be passed over. Mend the "
                "files, leave them out of the manifest, or raise max_failure_share."
            )

    def _look_up_ahead(self):
        """Find a wrong data folder before the first epoch, where that is cheap."""
        if len(self) <= _LOOKED_UP_AHEAD:
            self.failures = dict.fromkeys(self.clips.absent(), _ABSENT)
            self._raise_if_too_many()


class AudioFiles:
    """Clips that are files of their own: the source of a `ClipReader`.

    Args:
        clips: A `Manifest`, or paths of the files.
        sample_rate: Rate in Hz that clips are resampled to.
    """

    def __init__(self, clips, sample_rate):
        is_manifest = hasattr(clips, "confinement")
        self.manifest = clips if is_manifest else Manifest(clips)
        self.paths, self.sample_rate = self.manifest.paths, sample_rate
        self._confinement = self.manifest.confinement()

    def __len__(self):
        return len(self.paths)

    def name(self, index):
        """What a clip is called in a report."""
        return os.fspath(self.paths[index])

    def numbers(self, indices):
        """The numbers that the clips' random numbers belong to."""
        return indices

    @functools.cached_property
    def identity(self):
        """A text that is another for other clips, and the same in another folder."""
        digest = hashlib.sha256()
        root = os.path.join(self.manifest.root, "") if self.manifest.root else ""
        for index in range(len(self)):
            digest.update(self.name(index).removeprefix(root).encode() + b"\n")
        return digest.hexdigest()[:16]

    def absent(self):
        """Names of the clips that are not there."""
        names = map(self.name, range(len(self)))
        return [name for name in names if not os.path.exists(name)]

    def may_open(self, index):
        """Whether no link leads a clip out of the folder of its manifest."""
        inside = self._confinement
        return inside is None or inside.holds(self.name(index))

    def open(self, index, needed=None):
        """A clip with `samples` and `part(first, count)`, for so many samples of it.

        Raises:
            AudioError: for a broken file, here or in `part`.
        """
        path = self.name(index)
        if not self.may_open(index):
            raise AudioError(path, self._confinement.refusal(path))
        if needed is not None:
            frames, rate = length(path)
            samples = frames and resampled_length(frames, rate, self.sample_rate)
            if samples and needed < MOST_OF_A_CLIP * samples:
                return _File(path, self.sample_rate, samples)
        return Waveform(read(path, sample_rate=self.sample_rate)[0])


class Waveform:
    """A clip in memory.

    Args:
        wave: Samples `[S]`.
    """

    def __init__(self, wave):
        self.wave, self.samples = wave, len(wave)

    def part(self, first, count):
        return self.wave[first : first + count]


class _File:
    """A clip of which parts are decoded."""

    def __init__(self, path, sample_rate, samples):
        self.path, self.sample_rate, self.samples = path, sample_rate, samples

    def part(self, first, count):
        start, duration = first / self.sample_rate, count / self.sample_rate
        wave, _ = read(self.path, self.sample_rate, start=start, duration=duration)
        return fit_length(wave, count)


def available_cpus():
    """Number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _whole(clip):
    return clip.part(0, clip.samples)


def rotated_part(clip, first, count):
    """`count` samples of a clip from `first` on, as if its end met its beginning.

    Zeros end a clip that is shorter.

    Args:
        clip: Has `samples` and `part`.
        first: Number of a sample of it.
        count: Samples to take.
    """
    taken = min(count, clip.samples)
    wave = clip.part(first, min(taken, clip.samples - first))
    if len(wave) < taken:
        wave = np.concatenate([wave, clip.part(0, taken - len(wave))])
    return fit_length(wave, count)


def centre_part(clip, count):
    """`count` samples from the middle of a clip; zeros end a shorter one."""
    taken = min(count, clip.samples)
    return fit_length(clip.part((clip.samples - taken) // 2, taken), count)


def fit_length(wave, samples):
    """The first `samples` of a waveform; zeros end a shorter one."""
    wave = wave[:samples]
    return np.pad(wave, (0, samples - len(wave)))
