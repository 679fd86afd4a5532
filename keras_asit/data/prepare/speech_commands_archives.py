"""The two archives of Speech Commands, as they unpack: training data and test set."""

import os
import re
from collections import namedtuple

from keras_asit.data.prepare import lists, walking, writing

COMMANDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
# fmt: off
OTHERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    "bed", "bird", "cat", "dog", "happy", "house", "marvin", "sheila", "tree", "wow",
)
# fmt: on
NEW_IN_2 = ("backward", "follow", "forward", "learn", "visual")
WORDS = {1: (*COMMANDS, *OTHERS), 2: (*COMMANDS, *OTHERS, *NEW_IN_2)}
UNKNOWN, SILENCE, NOISE = "_unknown_", "_silence_", "_background_noise_"
LISTS = {"valid": "validation_list.txt", "test": "testing_list.txt"}

CLIP = re.compile(r"(?P<word>\w+)/(?P<speaker>[0-9a-f]+)_nohash_\d+")
# `yes/022cd682_nohash_0.wav`, `_unknown_/bed_0c540988_nohash_0.wav.wav`
TEST_CLIP = re.compile(
    r"(?P<label>\w+)/((?P<word>[a-z]+)_)?(?P<speaker>[0-9a-f]+)_nohash_\d+(\.wav)?"
)

Clip = namedtuple("Clip", "path label split speaker word")  # a row of the manifest


def find_archives(folder, version, with_test_set, problems):
    """The folders of the training data and of the test set, or None for each.

    Args:
        folder: Absolute path of what is searched, two folders deep.
        version: 1 or 2: of several, that named by it (`..._v0.02`) is taken.
        with_test_set: Whether the test set is wanted, and the background noise.
        problems: List that grows by what is wrong.
    """
    found = list(_search(folder, 2))
    train = _choose(
        [path for path, kind in found if kind == "train"],
        f"the training data: word folders, {' and '.join(LISTS.values())}",
        version,
        problems,
    )
    if not with_test_set:
        return train, None
    if train and not (train / NOISE).is_dir():
        problems.append(f"{train.name}: expected the folder {NOISE}")
        train = None
    test_set = _choose(
        [path for path, kind in found if kind == "test"],
        f"the official test set: folders {UNKNOWN}, {SILENCE} (an archive of its own)",
        version,
        problems,
    )
    return train, test_set


def _search(folder, depth):
    """`(path, kind)` of the archives in a folder."""
    if any((folder / name).exists() for name in (NOISE, *LISTS.values())):
        yield folder, "train"
    if (folder / UNKNOWN).is_dir() or (folder / SILENCE).is_dir():
        yield folder, "test"
    if depth:
        words = (*WORDS[2], UNKNOWN, SILENCE, NOISE)
        with os.scandir(folder) as entries:
            names = sorted(
                e.name
                for e in entries
                if e.name not in words and not e.name.startswith(".") and e.is_dir()
            )
        for name in names:
            yield from _search(folder / name, depth - 1)


def _choose(places, what, version, problems):
    """The one of the wanted version; anything else is a problem."""
    other = f"v0.0{3 - version}"
    places = [place for place in places if not place.name.endswith(other)]
    named = [place for place in places if place.name.endswith(f"v0.0{version}")]
    places = named or places
    if not places:
        problems.append(f"expected {what}, of version {version}, at most two below")
    elif len(places) > 1:
        problems.append(
            f"expected {what}, once; found it in {' and '.join(map(str, places))}"
        )
    return places[0] if len(places) == 1 else None


def read_words(folder, train, words, problems):
    """The clips of the training data, each with its split.

    Args:
        folder: Absolute path that the rows are relative to.
        train: Absolute path of the archive's folder.
        words: The words of its version.
        problems: List that grows by what is wrong.

    Returns:
        List of `Clip`, sorted by word.
    """
    split_of = _read_lists(train, problems)
    there = _word_folders(train, words, problems)
    files = walking.audio_files(train, "speech_commands", there)
    clips = walking.by_stem(files, problems)
    for stem, split in split_of.items():
        if stem not in clips and stem.split("/")[0] in there:
            problems.append(f"{LISTS[split]}: {stem}.wav is not on disk")
    rows, before = [], _before(folder, train)
    for stem, path in clips.items():
        if clip := CLIP.fullmatch(stem):
            word, speaker = clip.groups()
            split = split_of.get(stem, "train")
            rows.append(Clip(before + path, word, split, speaker, word))
        else:
            problems.append(f"{path}: expected a name such as 0a7c2a8d_nohash_0.wav")
    return rows


def _before(folder, archive):
    below = archive.relative_to(folder).as_posix()
    return "" if below == "." else f"{below}/"


def _read_lists(train, problems):
    """`{word/clip: split}` of what the two lists name."""
    split_of = {}
    for split, name in LISTS.items():
        if not (train / name).is_file():
            problems.append(f"{train.name}: expected the list {name}")
            continue
        for number, line in lists.numbered_lines(train / name):
            stem = line.removesuffix(".wav")
            if stem == line or not CLIP.fullmatch(stem):
                problems.append(
                    f"{name} line {number}: expected a line such as "
                    f"yes/0a7c2a8d_nohash_0.wav, received {line!r:.100}"
                )
            elif split_of.setdefault(stem, split) != split:
                problems.append(f"{name} line {number}: {line} is in both lists")
    return split_of


def _word_folders(train, words, problems):
    """Which of the words have a folder; those that have none are a problem."""
    there = sorted(word for word in words if (train / word).is_dir())
    if missing := sorted(set(words) - set(there)):
        problems.append(
            f"{train.name}: expected a folder for each of {len(words)} words, found "
            f"none for {missing}. Is the archive unpacked whole, and of this version?"
        )
    elif len(words) < len(WORDS[2]) and (train / NEW_IN_2[0]).is_dir():
        problems.append(
            f"{train.name}: found the folder {NEW_IN_2[0]}, so this is version 2"
        )
    return there


def read_test_set(folder, test_set, problems):
    """The clips of the official test set of 12 classes, as rows.

    Args:
        folder: Absolute path that the rows are relative to.
        test_set: Absolute path of the archive's folder.
        problems: List that grows by what is wrong.

    Returns:
        List of `Clip`, sorted by class.
    """
    classes = sorted((*COMMANDS, UNKNOWN, SILENCE))
    there = [name for name in classes if (test_set / name).is_dir()]
    if missing := sorted(set(classes) - set(there)):
        problems.append(f"{test_set.name}: expected the folders {missing}")
    rows, nameless, before = [], writing.Odd(), _before(folder, test_set)
    files = walking.audio_files(test_set, "speech_commands", there)
    for stem, path in walking.by_stem(files, problems).items():
        label, speaker, word = path.split("/")[0], "", ""
        if clip := TEST_CLIP.fullmatch(stem):
            speaker = clip["speaker"]
            word = label if label in COMMANDS else clip["word"] or ""
        elif label != SILENCE:
            nameless.add(path)
        rows.append(Clip(before + path, label, "test", speaker, word))
    nameless.tell("speech_commands", "clips of the test set that name no speaker")
    return rows
