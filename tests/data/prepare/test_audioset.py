import csv
import hashlib
import json

import pytest

from keras_asit.data import read_manifest
from keras_asit.data.prepare import AUDIOSET_CLASSES, audioset

HEADER = """# Segments csv created Sun Mar  5 10:54:25 2017
# num_ytids=3, num_segs=3, num_unique_labels=527, num_positive_labels=5
# YTID, start_seconds, end_seconds, positive_labels
"""
SPEECH, BARK, SURF = "/m/09x0r", "/m/05tny_", "/m/034srq"
BALANCED = {  # one begins with a hyphen, one with the Y that PANNs adds
    "-0abc_DEF-1": ("0.000", SPEECH),
    "Y1234567890": ("30.000", f"{SPEECH},{SURF}"),
    "bcdefghijk_": ("130.000", BARK),
}
EVAL = {"eeeeeeeeeee": ("10.000", BARK)}
FIRST, SECOND, THIRD = BALANCED


def write(path, clips, header=HEADER):
    rows = [f'{y}, {s}, {float(s) + 10:.3f}, "{m}"' for y, (s, m) in clips.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(header + "\n".join([*rows, ""]))
    return path.parent


@pytest.fixture
def write_tables(tmp_path):
    """A function that writes the two tables into a folder."""

    def make(below="."):
        write(tmp_path / below / "balanced_train_segments.csv", BALANCED)
        write(tmp_path / below / "eval_segments.csv", EVAL)
        return tmp_path

    return make


def test_the_classes_are_as_published():
    """The file is to the byte the one that Google publishes."""
    digest = hashlib.sha256(AUDIOSET_CLASSES.read_bytes()).hexdigest()
    assert digest == "cdd1049833c4b86127c2773ac0d14a2754b6a6d0d1798002ed5c66e699708429"
    with AUDIOSET_CLASSES.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = [row["display_name"] for row in rows]
    assert [int(row["index"]) for row in rows] == list(range(527))
    assert len(set(names)) == len({row["mid"] for row in rows}) == 527
    assert not any(";" in name for name in names), "which divides labels"
    notice = AUDIOSET_CLASSES.with_name("NOTICE").read_text(encoding="utf-8")
    for part in (
        AUDIOSET_CLASSES.name,
        "Google",
        "creativecommons.org/licenses/by/4.0",
    ):
        assert part in notice


def test_the_classes_read_a_manifest_of_ast(tmp_path):
    rows = [{"wav": "a.wav", "labels": f"{SPEECH},{SURF}"}]
    path = tmp_path / "m.json"
    path.write_text(json.dumps({"data": rows}))
    clips = read_manifest(path, labels=AUDIOSET_CLASSES)
    assert clips.labels.tolist() == [("Speech", "Waves, surf")]
    assert clips.targets().shape == (1, 527)


@pytest.mark.parametrize("tables", [".", "metadata"])
def test_clips_on_disk_and_holes(tables, touch, write_tables, rows_of, capsys):
    names = [
        f"audio/balanced_train_segments/{FIRST}.wav",
        f"audio/balanced_train_segments/{SECOND}.flac",
        "audio/eval_segments/eeeeeeeeeee.mp3",
    ]
    folder = touch(*names, "audio/eval_segments/fffffffffff.wav")
    write_tables(tables)
    path = audioset(folder)
    assert rows_of(path, labels=AUDIOSET_CLASSES) == {
        names[0]: (("Speech",), "balanced", FIRST, "0.000"),
        names[1]: (("Speech", "Waves, surf"), "balanced", SECOND, "30.000"),
        names[2]: (("Bark",), "eval", "eeeeeeeeeee", "10.000"),
    }
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "audioset: balanced: 2 of 3 listed clips are on disk; officially 22,160 are "
        "listed",
        "audioset: eval: 1 of 1 listed clips are on disk; officially 20,371 are listed",
        "audioset: audio files of no listed clip: 1 "
        "(audio/eval_segments/fffffffffff.wav)",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "{}.wav",
        "Y{}.wav",
        "_Y{}.wav",
        "{}_30.wav",
        "{}_30_40.wav",
        "{}_30.000_40.000.wav",
        "{}_30.0-40.0.flac",
        "{}_30000_40000.wav",
        "Y{}_30.000_40.000.wav",
        "unbalanced_train_segments_part00/Y{}.wav",
    ],
)
@pytest.mark.parametrize("ytid", ["Y1234567890", "-_234567890", "abc_30_4012"])
def test_every_way_to_name_a_clip(ytid, name, touch, tmp_path, rows_of):
    clips = {ytid: ("30.000", BARK), "1234567890_": ("30.000", BARK)}
    write(tmp_path / "unbalanced_train_segments.csv", clips)
    name = f"wav/{name.format(ytid)}"
    rows = rows_of(audioset(touch(name)))
    assert rows == {name: ("Bark", "unbalanced", ytid, "30.000")}


def test_milliseconds_are_whole_numbers(touch, tmp_path, rows_of):
    """1000 * 1.001 is 1000.9999999999999."""
    write(tmp_path / "eval_segments.csv", {"eeeeeeeeeee": ("1.001", BARK)})
    assert len(rows_of(audioset(touch("eeeeeeeeeee_1001_11001.wav")))) == 1


@pytest.mark.parametrize(
    "end", ["_40_50", "_31.000_41.000", "_3", "_x", "abc", "_30_40_50"]
)
def test_another_segment_is_another_clip(end, touch, write_tables, problems_of):
    folder = touch(f"{SECOND}{end}.wav")
    write_tables()
    (problem,) = problems_of(audioset, folder)
    assert "found none of them. Audio files of other names: 1 (" in problem
    assert not (folder / "manifest.csv").exists()


def test_a_clip_that_is_there_twice_is_taken_once(touch, write_tables, rows_of, capsys):
    folder = touch(f"a/{FIRST}.flac", f"b/Y{FIRST}.wav", f"b/{FIRST}_0_10.wav")
    write_tables()
    assert list(rows_of(audioset(folder))) == [f"a/{FIRST}.flac"]
    assert "second files of a clip, left out: 2 (b/" in capsys.readouterr().err


def test_a_row_that_is_there_twice_counts_once(touch, write_tables, rows_of, capsys):
    folder = touch(f"{FIRST}.wav")
    write_tables()
    write(folder / "eval_segments.csv", {FIRST: ("0.000", BARK)})
    assert rows_of(audioset(folder))[f"{FIRST}.wav"][:2] == ("Speech", "balanced")
    told = "rows of a YouTube id listed before, left out: 1 (-0abc_DEF-1 in eval_"
    assert told in capsys.readouterr().err


def test_more_clips_than_before(touch, write_tables, problems_of, rows_of):
    folder = touch(f"{FIRST}.wav")
    write_tables()
    audioset(folder)
    touch(f"{SECOND}.wav")
    (problem,) = problems_of(audioset, folder)
    assert "a file of other contents" in problem
    assert len(rows_of(audioset(folder, overwrite=True))) == 2


def test_a_table_that_pandas_has_written(touch, tmp_path, rows_of):
    header = "YTID,start_seconds,end_seconds,positive_labels\n"
    write(tmp_path / "eval_segments.csv", EVAL, header)
    assert len(rows_of(audioset(touch("eeeeeeeeeee.wav")))) == 1


def test_every_problem_is_listed(touch, tmp_path, problems_of):
    assert "expected one or more of balanced" in problems_of(audioset, tmp_path)[0]
    folder = touch("eeeeeeeeeee.wav")
    rows = [
        'eeeeeeeeeee, 10.000, 20.000, "/m/05tny_"',
        "#NAME?,30,40,  /m/09x0r,/t/dd00088 ,,,",  # from a spreadsheet
        'short, 10.000, 20.000, "/m/05tny_"',
        'aaaaaaaaaaa, nan, 20.000, "/m/05tny_"',
        'aaaaaaaaaaa, 10.000, 20.000, "/m/05tny_,/m/none"',
        "aaaaaaaaaaa, 10.000",
    ]
    (folder / "eval_segments.csv").write_text(HEADER + "\n".join([*rows, ""]))
    (folder / "balanced_train_segments.csv").write_bytes(b"\xff\xfe")
    problems = problems_of(audioset, folder)
    assert "balanced_train_segments.csv: no readable CSV" in problems[0]
    lines = [f"eval_segments.csv line {i}" for i in range(5, 10)]
    assert [p.split(":")[0] for p in problems[1:]] == lines
    assert "YouTube id of 11 characters, received 'short'" in problems[2]
    assert "start in seconds, received 'nan'" in problems[3]
    assert "527 classes, received ['/m/none']" in problems[4]
