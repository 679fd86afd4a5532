"""How long clips are, as far as that is known without decoding them."""

import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from tqdm import tqdm

from keras_asit.audio import AudioError, length
from keras_asit.data.clips import available_cpus

TYPICAL_SECONDS = 10.0  # where nothing is known of any clip
_THREADS = 16  # they wait for the disk, or the network, not for a processor
_TOGETHER = 10_000  # files that are queued at a time


def estimate_seconds(manifest, read_headers=True):
    """Estimated lengths of clips: enough to cut shards of about one size.

    Args:
        manifest: A `Manifest`. Its column `duration_s`, or `frames` and
            `sample_rate`, is believed where it is filled in.
        read_headers: Whether the headers of the other files are read. A clip of
            which nothing is known counts as the median of the others.

    Returns:
        float64 `[N]`, in seconds.
    """
    seconds = _by_columns(manifest.columns, len(manifest))
    unknown = np.flatnonzero(np.isnan(seconds))
    if read_headers and len(unknown):
        seconds[unknown] = _by_headers(manifest.paths[unknown], manifest.confinement())
    known = seconds[~np.isnan(seconds)]
    typical = np.median(known) if len(known) else TYPICAL_SECONDS
    return np.where(np.isnan(seconds), typical, seconds)


def _by_columns(columns, clips):
    """Seconds by the manifest, NaN where it does not say them."""
    seconds = np.full(clips, math.nan)
    if "frames" in columns and "sample_rate" in columns:
        with np.errstate(divide="ignore", invalid="ignore"):
            seconds = _numbers(columns["frames"]) / _numbers(columns["sample_rate"])
    if "duration_s" in columns:
        stated = _numbers(columns["duration_s"])
        seconds = np.where(np.isnan(stated), seconds, stated)
    return np.where(np.isfinite(seconds) & (seconds > 0), seconds, math.nan)


def _numbers(column):
    return np.fromiter(map(_number, column), "float64", len(column))


def _number(text):
    try:
        return float(text)
    except (TypeError, ValueError):
        return math.nan


def _by_headers(paths, confinement):
    """Seconds by the headers of files, NaN where they cannot be read."""

    def seconds_of(path):
        if confinement is not None and not confinement.holds(path):
            return math.nan
        try:
            samples, rate = length(path)
        except AudioError:
            return math.nan  # the file is reported when it is to be written
        return math.nan if samples is None else samples / rate

    seconds = []
    paths = iter(tqdm(paths, desc="lengths", unit="clip", disable=None))
    with ThreadPoolExecutor(min(_THREADS, 4 * available_cpus())) as pool:
        while some := list(itertools.islice(paths, _TOGETHER)):
            seconds += pool.map(seconds_of, some)
    return seconds
