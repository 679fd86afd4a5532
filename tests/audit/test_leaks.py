"""What is on both sides of a split."""

import numpy as np
import pytest

from keras_asit.audit.leaks import Leak, divisions, leaks, numbered, smallest_first
from keras_asit.data import Manifest

pytestmark = pytest.mark.backend_free


def manifest(**columns):
    number = len(next(iter(columns.values())))
    return Manifest([f"/x/{i}.wav" for i in range(number)], columns=columns)


def all_leaks(clips, audio, group=None, good=None):
    good = np.ones(len(clips), bool) if good is None else np.array(good)
    return list(leaks(clips, np.array(audio, "u8"), good, good, group))


def test_numbers_of_texts():
    numbers, texts = numbered(["b", "", "a", "b", None, 3])
    assert numbers.tolist() == [0, -1, 1, 0, -1, 2] and texts == ["b", "a", "3"]


def test_rank_of_parts():
    assert smallest_first(np.array([0, 0, 0, 1, 2, 2, -1]), 3).tolist() == (
        [2, 2, 2, 0, 1, 1, -1]
    )


def test_columns_that_divide():
    clips = manifest(split=["test", "test"], fold=["1", "2"], group=["a", "b"])
    assert divisions(clips) == ["fold"]
    assert divisions(manifest(split=["", "train"], fold=["", ""])) == []


def test_the_same_audio_across_folds():
    clips = manifest(fold=["1", "1", "2", "2", "", "3"])
    [leak] = all_leaks(clips, [7, 8, 7, 9, 9, 7])
    assert leak.mask.tolist() == [True, False, True, False, False, True]
    assert (leak.shared, leak.division, leak.number) == ("audio", "fold", 1)
    assert leak.detail(0) == "this audio is in fold 1, 2, 3"
    # Fold 3 is the smallest: the clip in it stays.
    everything = np.ones(6, bool)
    assert leak.spare(everything).tolist() == [True, False, True, False, False, False]


def test_a_group_across_splits():
    clips = manifest(
        split=["train", "train", "test", "train", "test", "train"],
        speaker=["ann", "ann", "ann", "bob", "eve", ""],
    )
    audio, speaker = all_leaks(clips, range(6), "speaker")
    assert not audio.mask.any() and audio.number == 0
    assert speaker.mask.tolist() == [True, True, True, False, False, False]
    assert speaker.detail(1) == "speaker ann is in split test, train"
    assert speaker.spare(np.ones(6, bool)).tolist() == [True, True] + [False] * 4


def test_clips_that_cannot_be_read_do_not_leak():
    clips = manifest(fold=["1", "2"], group=["a", "a"])
    assert not any(
        leak.mask.any() for leak in all_leaks(clips, [7, 7], "group", [True, False])
    )


def test_every_pair_of_shared_and_division():
    clips = manifest(split=["a", "b"], fold=["1", "2"], group=["x", "y"])
    found = all_leaks(clips, [7, 7], "group")
    pairs = [(leak.shared, leak.division, leak.number) for leak in found]
    assert pairs == [
        ("audio", "split", 1),
        ("group", "split", 0),
        ("audio", "fold", 1),
        ("group", "fold", 0),
    ]


def test_against_a_plain_search():
    rng = np.random.default_rng(0)
    groups = rng.integers(-1, 40, 200)
    values = rng.choice(["", "1", "2", "3"], 200, p=[0.1, 0.8, 0.05, 0.05])
    leak = Leak("g", "fold", groups, values, str)
    for row in range(200):
        own = groups == groups[row]
        in_values = set(values[own]) - {""}
        leaks_here = groups[row] >= 0 and values[row] != "" and len(in_values) > 1
        assert leak.mask[row] == leaks_here
    assert 0 < leak.number == len(set(groups[leak.mask]))
