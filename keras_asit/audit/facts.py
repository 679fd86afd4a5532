"""Facts of one clip, and the table of the facts of all of them."""

import hashlib
import math
import os

import numpy as np
import soundfile

from keras_asit.audio import AudioError, read

# Full scale: the largest positive sample. Files of more than 16 bit are mostly made
# from 16 bit, and overshoot of float and lossy files is clipped to 1 in reading.
FULL_SCALE = 32767 / 32768
OTHER_FULL_SCALES = {
    "PCM_U8": 127 / 128,
    "PCM_S8": 127 / 128,
    "ULAW": 32124 / 32768,  # the largest values of their codes
    "ALAW": 32256 / 32768,
}
CLIPPED_RUN = 3  # samples at full scale in a row; peaks that only touch it are shorter

_BLOCK = 1 << 20  # samples that are copied at a time

# The columns of the table: 60 bytes a clip.
COLUMNS = np.dtype(
    [
        ("state", "u1"),  # one of the four below
        ("size", "i8"),  # bytes of the file
        ("mtime", "i8"),  # its time of change, ns
        ("rate", "u4"),  # Hz
        ("channels", "u2"),  # 0: not known
        ("format", "u2"),  # number in `Facts.formats`
        ("frames", "i8"),  # samples of a channel
        ("peak", "f4"),  # largest distance from the mean, of full scale
        ("rms", "f4"),  # standard deviation of the samples
        ("clipped", "f4"),  # share of samples in runs at full scale
        ("audio", "u8"),  # hash of the decoded samples and the rate
    ]
)
NOT_SEEN, MISSING, BROKEN, GOOD = range(4)


class Facts:
    """What is known of each clip of a manifest.

    Args:
        paths: Paths `[N]` of the clips.
        root: Folder of the manifest, or `""`. In the outputs clips are called by their
            path relative to it.

    Attributes:
        paths: The paths.
        table: Structured array `[N]` of `COLUMNS`.
        formats: Names of the formats, by number.
        reasons: Dict of row to reason, for the broken clips.
    """

    def __init__(self, paths, root=""):
        self.paths = paths
        self._prefix = os.path.join(root, "") if root else ""
        self._here = os.getcwd()
        self.table = np.zeros(len(paths), COLUMNS)
        self.formats = []
        self.reasons = {}

    def name(self, row):
        """How a clip is called; its path where that lies outside the folder."""
        return self.paths[row].removeprefix(self._prefix)

    def key(self, row):
        """How a journal calls a clip: other sets have clips of the same names."""
        return os.path.join(self._here, self.paths[row])

    def set(self, row, facts):
        """Enters what `look_at` found of a clip."""
        self.reasons.pop(row, None)
        if facts is None:
            self.table[row] = (MISSING, *[0] * (len(COLUMNS) - 1))
        elif "error" in facts:
            stamp = facts["size"], facts["mtime"]
            self.table[row] = (BROKEN, *stamp, *[0] * (len(COLUMNS) - 3))
            self.reasons[row] = facts["error"]
        else:
            values = dict(facts, state=GOOD, audio=int(facts["audio"], 16))
            values["format"] = self._number(facts["format"])
            self.table[row] = tuple(values[name] for name in COLUMNS.names)

    def _number(self, name):
        if name not in self.formats:
            self.formats.append(name)
        return self.formats.index(name)

    def forget(self, row):
        """Takes the facts of a row away."""
        self.table[row] = np.zeros((), COLUMNS)
        self.reasons.pop(row, None)

    def stamp(self, row):
        """Size and time of change that a row was measured at; None if it was not."""
        entry = self.table[row]
        seen = entry["state"] in (BROKEN, GOOD)
        return (int(entry["size"]), int(entry["mtime"])) if seen else None

    def copy(self, row, to):
        """The facts of one row for another of the same file."""
        self.table[to] = self.table[row]
        if row in self.reasons:
            self.reasons[to] = self.reasons[row]

    @property
    def good(self):
        """Mask `[N]` of the clips that can be read."""
        return self.table["state"] == GOOD

    @property
    def seconds(self):
        """Lengths `[N]` in seconds; 0 where a clip cannot be read."""
        return self.table["frames"] / np.maximum(self.table["rate"], 1)


def look_at(path, known=None):
    """The facts of a file, for `Facts.set` and as a line of JSON; never raises.

    Args:
        path: The file's path.
        known: Its size in bytes and its time of change in ns, when it was looked at
            before.

    Returns:
        A dict; None for a file that is missing; `"known"` for one that has not
        changed. `error` stands in it for a file that cannot be read, with `passing`
        where that may be the storage's fault, so that it is tried again.
    """
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        return refused(f"cannot be looked at ({error})")
    stamp = {"size": status.st_size, "mtime": status.st_mtime_ns}
    if known == (status.st_size, status.st_mtime_ns):
        return "known"
    try:
        return {**stamp, **measure(path)}
    except AudioError as error:
        is_passing = isinstance(error.__cause__, (OSError, MemoryError))
        passing = {"passing": True} if is_passing else {}
        return {**stamp, "error": error.reason, **passing}
    except Exception as error:  # one bad file must not end hours of work
        reason = f"cannot be read: {type(error).__name__}: {error}"
        return {**stamp, "error": reason, "passing": True}


def refused(reason):
    """The facts of a file that is not opened, to be looked at again the next time."""
    return {"size": 0, "mtime": 0, "error": reason, "passing": True}


def measure(path):
    """Decodes a clip once, as the datasets do, and measures it.

    Levels and clipping are those of the mean of the channels, which is what a model
    gets: clipping of one of them is not seen, and opposite ones are silent. A hash
    stands for the decoded samples at the file's own rate, so that the same audio is
    found again in another lossless container, another bit depth or with other tags.

    Args:
        path: The file's path.

    Returns:
        Dict of rate (Hz), channels, frames, format, peak and rms about the mean,
        `clipped` (share of the samples that lie at full scale in runs of 3 or more)
        and audio (16 hexadecimal digits).

    Raises:
        AudioError: If it is not usable audio.
    """
    wave, rate = read(path)
    name, channels, full_scale = _header(path)
    mean = float(wave.mean(dtype="float64"))
    squares, digest = 0.0, hashlib.blake2b(f"{rate} ".encode(), digest_size=8)
    for block in np.split(wave, range(_BLOCK, len(wave), _BLOCK)):
        squares += float(np.square(block - mean, dtype="float64").sum())
        digest.update((block + 0.0).astype("<f4"))  # -0.0 is 0.0
    return {
        "rate": rate,
        "channels": channels,
        "frames": len(wave),
        "format": name,
        "peak": _short(max(wave.max() - mean, mean - wave.min())),
        "rms": _short(math.sqrt(squares / len(wave))),
        "clipped": _short(clipped_share(wave, full_scale)),
        "audio": digest.hexdigest(),
    }


def _header(path):
    """Name of the format, channels and full scale; no channels where unknown."""
    try:
        info = soundfile.info(path)
    except (soundfile.SoundFileError, OSError, TypeError, ValueError):
        return os.path.splitext(path)[1][1:].upper() or "unknown", 0, FULL_SCALE
    name = " ".join(dict.fromkeys([info.format, info.subtype.replace("_", " ")]))
    return name, info.channels, OTHER_FULL_SCALES.get(info.subtype, FULL_SCALE)


def _short(number):
    """Digits enough, and few in a line of JSON."""
    return float(f"{float(number):.6g}")


def clipped_share(wave, full_scale=FULL_SCALE):
    """Share of samples at full scale in runs of 3 or more on the same side.

    Masks of a clip of hours would take more memory than the clip: they are of blocks,
    with as many samples around each as a run needs.

    Args:
        wave: Waveform `[S]`.
        full_scale: Smallest size of a sample at full scale.
    """
    clipped, around = 0, CLIPPED_RUN - 1
    for first in range(0, len(wave), _BLOCK):
        start, stop = max(0, first - around), min(len(wave), first + _BLOCK)
        near = wave[start : stop + around]
        for side in (near >= full_scale, near <= -full_scale):
            clipped += _samples_in_runs(side, first - start, stop - start)
    return clipped / len(wave)


def _samples_in_runs(mask, first, stop):
    """How many samples from `first` to `stop` are in runs of `CLIPPED_RUN` or more."""
    if np.count_nonzero(mask) < CLIPPED_RUN:
        return 0
    edges = np.flatnonzero(np.diff(mask, prepend=False, append=False))
    runs = edges.reshape(-1, 2)
    runs = runs[runs[:, 1] - runs[:, 0] >= CLIPPED_RUN].clip(first, stop)
    return int((runs[:, 1] - runs[:, 0]).sum())
