"""Speech Commands V1 and V2: all words, or ten words, the others and silence."""

import math
from collections import Counter

import numpy as np

from keras_asit.data.prepare import background_noise, writing
from keras_asit.data.prepare.prepare_error import PrepareError
from keras_asit.data.prepare.speech_commands_archives import (
    COMMANDS,
    NOISE,
    SILENCE,
    UNKNOWN,
    WORDS,
    find_archives,
    read_test_set,
    read_words,
)

TITLE = "speech_commands"
COLUMNS = ("path", "label", "split", "speaker", "word")
OFFICIAL = {
    1: {"train": 51_088, "valid": 6_798, "test": 6_835},
    2: {"train": 84_843, "valid": 9_981, "test": 11_005},
}
OFFICIAL_TEST_SET = {1: 3_081, 2: 4_890}
SILENCE_PERCENTAGE = 10  # of the clips of the ten words, as in the original


def speech_commands(
    folder,
    version=2,
    classes=None,
    out=None,
    unknown_percentage=10,
    seed=0,
    overwrite=False,
):
    """Writes the manifest of Speech Commands, of all words or of 12 classes.

    All words: the split is that of `validation_list.txt` and
    `testing_list.txt`, the rest is `train`.

    12 classes: ten words, `_unknown_` (the other words) and `_silence_`. `test`
    is the separate official test set; what `testing_list.txt` lists is left
    out. As in the original, `train` and `valid` each get as much `_unknown_`
    and `_silence_` as 10 % of their clips of the ten words. Silence is random
    1 s crops of the background noise, written as FLAC into a folder beside the
    manifest (`manifest_silence` for `manifest.csv`); crops of `train` and
    `valid` share no sample. The same seed draws the same clips and crops; where
    `out` is overwritten, crops of another seed are removed.

    Args:
        folder: The archive of the training data, unpacked: word folders,
            `_background_noise_`, the two lists. For 12 classes, a folder that
            holds this and the unpacked archive of the test set (which has
            `_unknown_`, `_silence_`). Each may be at most two folders below.
        version: 1 (v0.01) or 2 (v0.02).
        classes: 12, or the number of all words: 30 of version 1, 35 of version
            2. By default all.
        out: Path of the CSV; `manifest.csv` in `folder` by default.
        unknown_percentage: `_unknown_` of `train` and `valid`, in percent of
            their clips of the ten words. None takes every clip of every other
            word, as SUPERB does.
        seed: Integer, for what is drawn at random.
        overwrite: Whether an `out` of other contents may be replaced.

    Returns:
        Path of the manifest: path, label, split (train, valid, test), speaker
        (the hash in the file's name; none for silence), word.

    Raises:
        ManifestError: (a `ValueError`) that lists the missing folders, lists
            and clips, and the clips of unexpected names, or when `out` has
            other contents.
        ValueError: for an unknown version or number of classes.

    Example:
        path = keras_asit.data.prepare.speech_commands("SpeechCommands", classes=12)

    Reference:
        P. Warden, "Speech Commands: A Dataset for Limited-Vocabulary Speech
        Recognition", arXiv:1804.03209. The shares of `_unknown_` and `_silence_`
        are those of `input_data.py` in TensorFlow's example speech_commands.
    """
    _check(version, classes, unknown_percentage)
    twelve = classes == 12
    folder = writing.data_folder(folder)
    out = writing.output_path(folder, out)
    problems, crops = [], []
    train, test_set = find_archives(folder, version, twelve, problems)
    clips = read_words(folder, train, WORDS[version], problems) if train else []
    rows = clips
    if twelve and train:
        rows, silence = _twelve_classes(clips, unknown_percentage, seed)
        rng = np.random.default_rng([seed, 1])
        crops = background_noise.draw_crops(train / NOISE, silence, rng, problems)
    if twelve and test_set:
        rows = rows + read_test_set(folder, test_set, problems)
    if problems:
        raise PrepareError(folder, problems)
    noise = out.with_name(f"{out.stem}_silence")
    beside = [(f"{noise.name}/{c.name}", SILENCE, c.split, "", "") for c in crops]
    with writing.staged_manifest(out, folder, COLUMNS, rows, overwrite, TITLE, beside):
        background_noise.write_crops(crops, noise, overwrite)
    if overwrite:
        background_noise.remove_others(crops, noise)
    official = {"test": OFFICIAL_TEST_SET[version]} if twelve else OFFICIAL[version]
    writing.tell_counts(TITLE, (row[2] for row in [*rows, *beside]), official)
    if twelve:
        counts = Counter(clip.split for clip in clips)
        archive = f"{TITLE}, training archive"
        writing.tell_differences(archive, counts, OFFICIAL[version])
    return out


def _check(version, classes, unknown_percentage):
    if version not in WORDS:
        raise ValueError(f"Expected version 1 or 2. Received: {version!r}")
    if classes not in (None, 12, len(WORDS[version])):
        raise ValueError(
            f"Expected 12 classes, or the {len(WORDS[version])} words of version "
            f"{version}. Received: {classes!r}"
        )
    if unknown_percentage is not None and not unknown_percentage >= 0:
        raise ValueError(
            "Expected unknown_percentage of 0 or more, or None for all other words. "
            f"Received: {unknown_percentage!r}"
        )


def _twelve_classes(clips, unknown_percentage, seed):
    """Rows of `train` and `valid` without silence, and `{split: its clips}`."""
    rng = np.random.default_rng([seed, 0])
    rows, silence = [], {}
    for split in ("train", "valid"):
        ours = [clip for clip in clips if clip.split == split]
        words = [clip for clip in ours if clip.word in COMMANDS]
        others = [clip for clip in ours if clip.word not in COMMANDS]
        if unknown_percentage is not None:
            count = math.ceil(len(words) * unknown_percentage / 100)
            count = min(len(others), count)
            drawn = np.sort(rng.choice(len(others), count, replace=False))
            others = [others[i] for i in drawn]
        rows += words + [clip._replace(label=UNKNOWN) for clip in others]
        silence[split] = math.ceil(len(words) * SILENCE_PERCENTAGE / 100)
    return rows, silence
