"""Sound events made by formula: the quickstart's data when no recordings are given.

Twelve classes differ in the shape their energy draws over time and frequency. Pitch,
start, length, rhythm, timbre, level and background are drawn from wide ranges that
overlap between classes, so the mean spectrum of a clip says little about its class.
"""

import re
import zlib
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from keras_asit import whole_files
from keras_asit.data.event_shapes import SHAPES, coloured_noise, decibels

CLASS_NAMES = tuple(SHAPES)
SCENE_SECONDS = 1.3
LOWEST_RATE = 4000  # the highest steady pitch, 1600 Hz, lies below 0.45 of it
GENERATOR_VERSION = 2  # part of every clip's seed: a changed sound gets a new file
COLUMNS = ("path", "label", "split", "seed")
ROW = re.compile(r"(?P<split>.+)/(\w+_)?\d{4,}_[0-9a-f]{8}\.flac,\w*,(?P=split),\d+")


def sound_event(class_name, seed, sample_rate=16000, seconds=4.0):
    """Makes one clip: one kind of sound, heard again and again in changing noise.

    A clip is a row of scenes of about 1.3 s. Every scene has an event of the class,
    drawn anew, at a random time, and a background of its own: noise of a random colour
    through a random slow filter, 0 to 20 dB below the event. What parts of a clip share
    is the class, as with a dog that barks more than once. In one clip of five an event
    of any class, 20 to 30 dB quieter, sounds as well. The same arguments give the same
    samples.

    Args:
        class_name: one of `CLASS_NAMES`.
        seed: non-negative integer.
        sample_rate: samples per second, 4000 or more.
        seconds: length of the clip; an event takes 55 to 85 % of its scene.

    Returns:
        float32 [samples] in [-1, 1], samples = round(sample_rate * seconds).

    Raises:
        ValueError: if the class name is unknown, the clip shorter than 0.1 s, or the
            rate too low for the pitches of the events.

    Example:
        >>> wave = sound_event("chirp_up", seed=3)
        >>> wave.shape
        (64000,)
    """
    if class_name not in SHAPES:
        raise ValueError(
            f"Expected class_name to be one of {', '.join(CLASS_NAMES)}. "
            f"Received: {class_name!r}. Choose a name from CLASS_NAMES."
        )
    if seconds < 0.1:
        raise ValueError(
            "Expected seconds to be at least 0.1, room for an event. "
            f"Received: {seconds}. Ask for longer clips."
        )
    if not sample_rate >= LOWEST_RATE:
        raise ValueError(
            f"Expected sample_rate to be at least {LOWEST_RATE}: events of every class "
            f"can then be heard. Received: {sample_rate}. Ask for a higher rate."
        )
    rng = np.random.default_rng([zlib.crc32(class_name.encode()), seed])
    samples = round(sample_rate * seconds)
    scenes = np.array_split(np.arange(samples), max(1, round(seconds / SCENE_SECONDS)))
    wave = np.concatenate(
        [_scene(rng, SHAPES[class_name], len(scene), sample_rate) for scene in scenes]
    )
    if rng.random() < 0.2:
        shape = SHAPES[rng.choice(CLASS_NAMES)]
        quiet = decibels(-rng.uniform(20, 30))
        wave += quiet * _place(rng, shape, samples, sample_rate)
    peak = decibels(-rng.uniform(1, 6))
    return (peak * wave / np.abs(wave).max()).astype("float32")


def _scene(rng, shape, samples, rate):
    """An event, up to 6 dB below the loudest, in a background of its own."""
    event = _place(rng, shape, samples, rate)
    noise = decibels(-rng.uniform(0, 20)) * coloured_noise(rng, samples, rate)
    return decibels(-rng.uniform(0, 6)) * (event + noise)


def _place(rng, shape, samples, rate):
    """Puts an event of mean power 1 at a random time in silence."""
    length = round(samples * rng.uniform(0.55, 0.85))
    start = rng.integers(0, samples - length + 1)
    event = shape(rng, np.arange(length) / rate, rate)
    wave = np.zeros(samples)
    wave[start : start + length] = event / np.sqrt(np.mean(event**2))
    return wave


def write_dataset(
    directory,
    clips_per_class=100,
    unlabelled=0,
    seed=0,
    sample_rate=16000,
    seconds=4.0,
    splits=None,
):
    """Writes sound events as 16-bit FLAC files with a manifest, once.

    File names hold the seed of the clip, and files appear whole or not at all. So a
    finished set is recognised and left alone, and an interrupted one is completed.
    More clips per class keep the earlier clips as they are; the manifest lists those
    that the latest call asked for.

    Args:
        directory: folder to write to; made if missing.
        clips_per_class: training clips of each class. Used when `splits` is None.
        unlabelled: clips of split "unlabelled", with an empty label, for pretraining;
            the classes take turns.
        seed: non-negative integer; another seed gives another set.
        sample_rate: samples per second.
        seconds: length of each clip.
        splits: clips of each class by split, such as `{"train": 100, "test": 40}`.
            None means `clips_per_class` for "train" and 40 for "test".

    Returns:
        The path of `manifest.csv`, with the columns path (relative to the manifest),
        label, split and seed (that of the clip: `sound_event(label, seed)` gives it).

    Raises:
        ValueError: if the folder has a `manifest.csv` of other clips.

    Example:
        >>> splits = {"train": 2, "test": 1}
        >>> manifest = write_dataset("events", unlabelled=20, splits=splits)
    """
    directory = Path(directory)
    _check_replaceable(directory / "manifest.csv")
    splits = {"train": clips_per_class, "test": 40} if splits is None else splits
    origin = f"{GENERATOR_VERSION}/{seed}/{sample_rate}/{seconds:g}"
    clips = _planned_clips(origin, splits, unlabelled)
    missing = [clip for clip in clips if not (directory / clip[1][0]).is_file()]
    for folder in {(directory / row[0]).parent for _, row in missing}:
        folder.mkdir(parents=True, exist_ok=True)
    for name, row in tqdm(missing, "sound events", unit="clip", disable=not missing):
        wave = sound_event(name, row[3], sample_rate, seconds)
        _write_flac(directory / row[0], wave, sample_rate)
    return _write_manifest(directory / "manifest.csv", [row for _, row in clips])


def _check_replaceable(manifest):
    """Raises where a manifest lists clips that are not of `write_dataset`."""
    if not manifest.exists():
        return
    text = manifest.read_text(encoding="utf-8", errors="replace")
    header, *rows = text.splitlines() or [""]
    if header != ",".join(COLUMNS) or not all(ROW.fullmatch(row) for row in rows):
        raise ValueError(
            f"Expected {manifest.parent} to hold no manifest but that of an earlier "
            f"write_dataset. Received: {manifest} with other columns or clips. Give "
            "another directory, or move that file away."
        )


def _planned_clips(origin, splits, unlabelled):
    """Lists (class name, manifest row) of every clip of a set."""
    clips = []
    for split, count in splits.items():
        for name in CLASS_NAMES:
            for i in range(count):
                seed = zlib.crc32(f"{origin}/{split}/{name}/{i}".encode())
                path = f"{split}/{name}_{i:04d}_{seed:08x}.flac"
                clips.append((name, (path, name, split, seed)))
    for i in range(unlabelled):
        seed = zlib.crc32(f"{origin}/unlabelled/{i}".encode())
        row = (f"unlabelled/{i:05d}_{seed:08x}.flac", "", "unlabelled", seed)
        clips.append((CLASS_NAMES[i % len(CLASS_NAMES)], row))
    return clips


def _write_flac(path, wave, sample_rate):
    with whole_files.replacing(path) as part:
        soundfile.write(part, wave, sample_rate, format="FLAC", subtype="PCM_16")


def _write_manifest(path, rows):
    text = "".join(",".join(map(str, row)) + "\n" for row in (COLUMNS, *rows))
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_files.replacing(path) as part:
            Path(part).write_text(text, encoding="utf-8")
    return path
