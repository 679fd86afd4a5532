"""Clips as waveforms: reading that survives broken files, shifts and crops.

Everything here is numpy and runs in reader threads, on every backend alike.
"""

import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from keras_asit.audio import AudioError, read

_LOOKED_UP_AHEAD = 10_000


class TooManyBrokenFiles(ValueError):
    """More of a set cannot be read than may be passed over."""


class ClipReader:
    """Reads clips by number; a broken one is remembered, not raised.

    One truncated file among many must not end a run, and a run must not go on
    quietly without its data: failures are counted, reported at the end of every
    epoch that met one, and raise as soon as they are more than a given share of
    the set.
    A file that failed once is not tried again. Safe to use from many threads.

    Args:
        paths: Paths of the clips.
        sample_rate: Rate in Hz that clips are resampled to.
        cache: Whether waveforms stay in memory (float32) once read.
        max_failure_share: Share of the set that may fail.

    Attributes:
        failures: Dict of path to reason.

    Raises:
        ValueError: without a path, or for a share out of range.
        TooManyBrokenFiles: at once when too many files of a set of at most
            10,000 clips do not exist; else while reading.

    Example:
        reader = ClipReader(manifest.paths, sample_rate=32000)
        wave = reader.read(0)  # float32 [S], or None
    """

    def __init__(self, paths, sample_rate, cache=False, max_failure_share=0.05):
        if not 0.0 <= max_failure_share <= 1.0:
            raise ValueError(
                "Expected max_failure_share between 0 and 1. "
                f"Received: {max_failure_share}"
            )
        if not len(paths):
            raise ValueError(
                "Expected the path of at least one clip. Received: none. Check what "
                "the manifest was reduced to"
            )
        self.paths = paths
        self.sample_rate = sample_rate
        self.cache = cache
        self.max_failure_share = max_failure_share
        self.failures = {}
        self._waves = {}
        self._epoch, self._met_a_failure = 0, False
        self._lock = threading.Lock()
        self._look_up_ahead()

    def __len__(self):
        return len(self.paths)

    def read(self, index):
        """The waveform `[S]` of a clip, float32 in [-1, 1], or None if broken."""
        wave = self._try_read(index)
        if wave is None:
            self._raise_if_too_many()
        return wave

    def read_or_next(self, index):
        """The first readable clip from `index` on, and its number.

        Batches keep their size and epochs their length when a clip is broken.
        """
        for number in range(index, index + len(self)):
            wave = self.read(number % len(self))
            if wave is not None:
                return wave, number % len(self)
        raise TooManyBrokenFiles(self.describe_failures())

    def readable(self, workers=2):
        """Numbers of the clips that can be read, in order, by reading them all."""
        with ThreadPoolExecutor(workers) as pool:
            is_readable = pool.map(
                lambda i: self._try_read(i) is not None, range(len(self))
            )
            indices = np.flatnonzero(list(is_readable))
        self._report("")
        return indices

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

    def _try_read(self, index):
        path = self.paths[index]
        if path in self.failures:
            self._met_a_failure = True
            return None
        wave = self._waves.get(index)
        if wave is None:
            try:
                wave, _ = read(path, sample_rate=self.sample_rate)
            except AudioError as error:
                with self._lock:
                    self.failures[path] = error.reason
                self._met_a_failure = True
                return None
            if self.cache:
                self._waves[index] = wave
        return wave

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
            absent = [path for path in self.paths if not os.path.exists(path)]
            self.failures = dict.fromkeys(absent, "does not exist. Check the path.")
            self._raise_if_too_many()


def circular_shift(wave, rng, probability):
    """Rotate a clip by a random number of samples, with a probability.

    The reference does so with probability 0.5; the paper's text does not
    mention it (option 20 of the two profiles).

    Args:
        wave: Waveform `[S]`.
        rng: A `numpy.random.Generator`.
        probability: Probability of a shift.
    """
    if rng.random() < probability:
        return np.roll(wave, rng.integers(max(1, len(wave))))
    return wave


def random_crop(wave, samples, rng):
    """`samples` of a waveform from a random start; zeros end a shorter one."""
    spare = len(wave) - samples
    start = rng.integers(spare + 1) if spare > 0 else 0
    return fit_length(wave[start:], samples)


def centre_crop(wave, samples):
    """`samples` from the middle of a waveform; zeros end a shorter one."""
    return fit_length(wave[max(0, (len(wave) - samples) // 2) :], samples)


def fit_length(wave, samples):
    """The first `samples` of a waveform; zeros end a shorter one."""
    wave = wave[:samples]
    return np.pad(wave, (0, samples - len(wave)))
