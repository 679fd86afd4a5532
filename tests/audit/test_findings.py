"""Which clips have which fault, from facts written by hand."""

import numpy as np
import pytest

from keras_asit.audit.facts import Facts
from keras_asit.audit.findings import (
    CLIPPED_SHARE,
    DROPPED,
    KINDS,
    SILENT_PEAK_DB,
    Findings,
    decibels,
)
from keras_asit.data import Manifest

pytestmark = pytest.mark.backend_free


def find(clips, sample_rate=None, group=None, labels=None, **columns):
    """`Findings` of clips given as changes of a good one, each other audio."""
    paths = [f"/x/{i}.wav" for i in range(len(clips))]
    facts = Facts(paths, "/x")
    for row, changes in enumerate(clips):
        good = {"size": 1, "mtime": 1, "rate": 8000, "channels": 1, "frames": 8000}
        good.update({"peak": 0.5, "rms": 0.1, "clipped": 0.0, "format": "WAV"})
        good["audio"] = f"{row:016x}"
        facts.set(row, None if changes is None else {**good, **changes})
    manifest = Manifest(paths, labels, columns=columns, root="/x")
    return Findings(manifest, facts, sample_rate, group)


def rows(findings):
    return {kind: found.tolist() for kind, found in findings.rows.items() if len(found)}


def test_good_clips_have_none():
    findings = find([{}] * 3, fold=["1", "2", "1"])
    assert rows(findings) == {} and list(findings.rows) == list(KINDS)
    assert findings.to_drop(KINDS) == {}


def test_missing_and_broken():
    findings = find([{}, None, {"error": "is empty"}])
    assert rows(findings) == {"missing": [1], "broken": [2]}
    assert findings.detail("missing", 1) == "no such file"
    assert findings.detail("broken", 2) == "is empty"


def test_silence_begins_below_the_threshold():
    limit = 10 ** (SILENT_PEAK_DB / 20)
    findings = find([{"peak": 1.01 * limit}, {"peak": 0.99 * limit}, {"peak": 0.0}])
    assert rows(findings) == {"silent": [1, 2]}
    assert findings.detail("silent", 1) == "peak -60.1 dBFS"
    assert findings.detail("silent", 2) == "peak -120.0 dBFS"


def test_clipping_begins_at_the_threshold():
    findings = find([{"clipped": 0.99 * CLIPPED_SHARE}, {"clipped": CLIPPED_SHARE}])
    assert rows(findings) == {"clipped": [1]}
    assert findings.detail("clipped", 1) == "0.10% of the samples at full scale"
    assert rows(find([{"clipped": 1.0, "peak": 0.0}])) == {"silent": [0]}


def test_other_rates_than_that_of_most():
    findings = find([{"rate": 44100}, {}, {}, {"rate": 16000}])
    assert findings.sample_rate == 8000
    assert rows(findings) == {"wrong-rate": [0, 3]}
    assert findings.detail("wrong-rate", 0) == "44100 Hz, not 8000 Hz"


def test_other_rates_than_was_asked_for():
    assert rows(find([{"rate": 44100}, {}, {}], 44100)) == {"wrong-rate": [1, 2]}


@pytest.mark.parametrize(
    ("rates", "rate"), [([8000, 16000], 16000), ([16000, 8000, 8000], 8000)]
)
def test_the_rate_of_most(rates, rate):
    assert find([{"rate": rate} for rate in rates]).sample_rate == rate


def test_silent_clips_have_no_say_in_the_rate_unless_all_are():
    silent = {"peak": 0.0}
    assert find([silent, silent, {"rate": 16000}]).sample_rate == 16000
    assert find([silent, None]).sample_rate == 8000
    assert find([None]).sample_rate is None


def test_the_first_of_equal_clips_is_kept():
    same = {"audio": "aa"}
    findings = find([{}, same, {}, same, same])
    assert rows(findings) == {"duplicate": [3, 4]}
    assert findings.detail("duplicate", 4) == "as 1.wav"


def test_a_test_set_stays_whole():
    same = {"audio": "aa"}
    split = ["train", "", "train", "test", "train"]
    findings = find([same, same, {}, same, {}], split=split)
    assert rows(findings) == {"duplicate": [0, 1], "leaking": [0, 3]}
    assert findings.detail("duplicate", 0) == "as 3.wav"
    assert findings.detail("leaking", 0) == "this audio is in split test, train"


def test_silence_is_no_duplicate():
    silent = {"peak": 0.0, "audio": "aa"}
    findings = find([silent, silent], fold=["1", "2"])
    assert rows(findings) == {"silent": [0, 1]}


def test_duplicates_against_a_plain_search():
    rng = np.random.default_rng(0)
    audio = rng.integers(0, 30, 100)
    findings = find([{"audio": f"{number:x}"} for number in audio])
    seen, expected = set(), []
    for row, number in enumerate(audio):
        expected += [row] if number in seen else []
        seen.add(number)
    assert findings.rows["duplicate"].tolist() == expected


def test_audio_and_group_that_leak():
    findings = find(
        [{"audio": "aa"}, {"audio": "aa"}, {}, {}],
        group="speaker",
        fold=["1", "2", "1", "2"],
        speaker=["s", "s", "t", "u"],
    )
    assert findings.rows["leaking"].tolist() == [0, 1]
    assert findings.detail("leaking", 1) == (
        "this audio is in fold 1, 2; speaker s is in fold 1, 2"
    )


def test_what_is_dropped():
    clips = [None, {"error": "x"}, {"peak": 0.0, "rate": 1000}, {"clipped": 0.5}]
    clips += [{"rate": 44100}, {"audio": "bb"}, {"audio": "bb"}, {}, {}, {}]
    groups = ["g" if row in (7, 8) else str(row) for row in range(10)]
    split = ["train"] * 7 + ["test", "train", "train"]
    findings = find(clips, group="speaker", speaker=groups, split=split)
    assert findings.to_drop(DROPPED) == {
        0: "missing",
        1: "broken",
        2: "silent",
        6: "duplicate",
    }
    assert findings.to_drop(KINDS) == {
        0: "missing",
        1: "broken",
        2: "silent",
        3: "clipped",
        4: "wrong-rate",
        6: "duplicate",
        8: "leaking",  # the clip of the group in the larger split
    }
    assert findings.to_drop(["wrong-rate"]) == {2: "wrong-rate", 4: "wrong-rate"}
    assert findings.to_drop([]) == {}


def test_of_copies_in_two_folds_one_stays():
    same = {"audio": "aa"}
    findings = find([same, {}, {}, same, same], fold=["1", "1", "1", "2", "3"])
    assert findings.rows["leaking"].tolist() == [0, 3, 4]
    both = findings.to_drop(["duplicate", "leaking"])
    assert both == {3: "duplicate", 4: "duplicate"}


def test_of_a_group_that_leaks_in_two_ways_one_side_stays():
    findings = find(
        [{}] * 5,
        group="speaker",
        split=["test", "train", "train", "train", "test"],
        fold=["2", "1", "2", "2", "2"],
        speaker=["s", "s", "t", "u", "v"],
    )
    assert [leak.mask.sum() for leak in findings.leaks] == [0, 2, 0, 2]
    assert findings.to_drop(["leaking"]) == {1: "leaking"}


@pytest.mark.parametrize("kinds", [["leaking"], ["duplicate", "leaking"]])
@pytest.mark.parametrize("group", [None, "speaker"])
def test_nothing_leaks_any_more_and_no_audio_is_lost(kinds, group):
    rng = np.random.default_rng(0)
    audio = rng.integers(0, 40, 100)
    clips = [{"audio": f"{number:x}"} for number in audio]
    columns = {
        "split": rng.choice(["train", "test"], 100),
        "fold": rng.choice(["1", "2", "3"], 100),
        "speaker": rng.integers(0, 50, 100),
    }
    dropped = find(clips, group=group, **columns).to_drop(kinds)
    rows = [row for row in range(100) if row not in dropped]
    kept = {name: values[rows] for name, values in columns.items()}
    again = find([clips[row] for row in rows], group=group, **kept)
    assert dropped and not len(again.rows["leaking"])
    if group is None:
        assert set(audio[rows]) == set(audio)


def test_copies_with_other_labels():
    same = {"audio": "aa"}
    labels = [("dog", "rain"), ("rain", "dog"), ("dog",), ()]
    findings = find([same] * 4, labels=labels)
    details = [findings.detail("duplicate", row) for row in (1, 2, 3)]
    assert details == ["as 0.wav", *["as 0.wav; labels differ"] * 2]


def test_decibels():
    found = decibels(np.array([1.0, 0.5, 0.0]))
    np.testing.assert_allclose(found, [0.0, -6.0206, -120.0], atol=1e-4)
