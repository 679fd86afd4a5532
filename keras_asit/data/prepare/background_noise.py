"""One-second crops of long recordings of noise: the clips of `_silence_`."""

import re
from collections import namedtuple

import numpy as np
import soundfile
from tqdm import tqdm

from keras_asit import whole_files
from keras_asit.data.prepare import walking
from keras_asit.data.prepare.prepare_error import PrepareError

CROP = re.compile(r"(train|valid)/.+_\d{8,}\.flac")  # the name of a crop's file
HELD_OUT = 10  # the last tenth of each recording is not for training

# A second of `recording` (a path) from sample `start` on; `name` is its file.
Crop = namedtuple("Crop", "recording start split name")


def draw_crops(folder, counts, rng, problems):
    """Draws seconds of noise at random, all of them different.

    Crops for training and for validation come from other parts of each
    recording, so that no sample is in both.

    Args:
        folder: Path of the recordings, each of 10 s or more.
        counts: Number of crops, of the splits `train` and `valid`.
        rng: A `numpy.random.Generator`.
        problems: List that grows by what is wrong.

    Returns:
        List of `Crop`, by split, recording and time.
    """
    recordings = []
    for name in walking.audio_files(folder, "noise"):
        try:
            info = soundfile.info(folder / name)
        except soundfile.LibsndfileError as error:
            problems.append(f"{folder.name}/{name}: no readable audio: {error}")
            continue
        if info.channels != 1 or info.frames < HELD_OUT * info.samplerate:
            problems.append(
                f"{folder.name}/{name}: expected one channel and {HELD_OUT} s or more, "
                f"received {info.channels} and {info.duration:.1f} s"
            )
        recordings.append((folder / name, info))
    crops = []
    for split, count in counts.items():
        crops += _draw(recordings, split, count, rng, problems)
    return crops


def _draw(recordings, split, count, rng, problems):
    """`count` crops of a split: every possible start is as likely."""
    first, number = [], []
    for _, info in recordings:
        cut = info.frames - info.frames // HELD_OUT
        begin, end = (0, cut) if split == "train" else (cut, info.frames)
        first.append(begin)
        number.append(max(0, end - begin - info.samplerate + 1))
    if count > sum(number):
        problems.append(
            f"expected background noise for {count:,} different seconds of {split}, "
            f"found that for {sum(number):,}"
        )
        return []
    ends = np.cumsum(number)
    crops = []
    for drawn in np.sort(rng.choice(sum(number), count, replace=False)):
        which = int(np.searchsorted(ends, drawn, side="right"))
        start = int(first[which] + drawn - (ends[which] - number[which]))
        path = recordings[which][0]
        crops.append(Crop(path, start, split, f"{split}/{path.stem}_{start:08}.flac"))
    return crops


def write_crops(crops, folder, overwrite):
    """Writes crops as 16-bit FLAC at the rate of the recording, exactly.

    Those that are there are not written again; a crop that was cut off never
    bears its name.

    Args:
        crops: List of `Crop`.
        folder: Path of a folder; it is made.
        overwrite: Whether files of other contents may be replaced.

    Raises:
        ManifestError: that lists the files of other contents; then nothing is
            written.
    """
    samples = {}
    for crop in crops:
        if crop.recording not in samples:
            samples[crop.recording] = soundfile.read(crop.recording, dtype="int16")
    to_write, others = [], []
    for crop in crops:
        wave, rate = samples[crop.recording]
        wave, path = wave[crop.start : crop.start + rate], folder / crop.name
        if not path.exists():
            to_write.append((path, wave, rate))
        elif not _holds(path, wave, rate):
            to_write.append((path, wave, rate))
            others.append(f"{crop.name}: expected another second of noise")
    if others and not overwrite:
        raise PrepareError(folder, [*others, "Move them away, or allow overwrite."])
    for path, wave, rate in tqdm(to_write, "crops of noise", leave=False, disable=None):
        _write(path, wave, rate)


def remove_others(crops, folder):
    """Removes crops that an earlier call wrote, with another seed, into a folder.

    Args:
        crops: List of `Crop`: those that stay.
        folder: Path of the folder, which may not exist.
    """
    kept = {folder / crop.name for crop in crops}
    for path in folder.glob("*/*.flac"):
        if path not in kept and CROP.fullmatch(path.relative_to(folder).as_posix()):
            path.unlink()


def _holds(path, wave, rate):
    try:
        there, its_rate = soundfile.read(path, dtype="int16")
    except soundfile.LibsndfileError:
        return False
    return its_rate == rate and np.array_equal(there, wave)


def _write(path, wave, rate):
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_files.replacing(path) as part:
        soundfile.write(part, wave, rate, format="FLAC", subtype="PCM_16")
