import pytest

from keras_asit.data import read_manifest
from keras_asit.data.prepare import ESC50_CLASSES, esc50

HEADER = "filename,fold,target,category,esc10,src_file,take"
ROWS = [
    f"{f}-{f}{t}-A-{t}.wav,{f},{t},{ESC50_CLASSES[t]},False,{f}{t},A"
    for f in range(1, 6)
    for t in (0, 1, 49)
]


@pytest.fixture
def write(touch):
    """A function that writes the table, and the clips that it lists but one."""

    def make(rows=ROWS, header=HEADER, without=None):
        names = {f"audio/{row.split(',')[0]}" for row in rows}
        folder = touch("meta/esc50.csv", "audio/README.txt", *(names - {without}))
        (folder / "meta" / "esc50.csv").write_text("\n".join([header, *rows, ""]))
        return folder

    return make


def test_clips_and_folds(write, rows_of, capsys):
    path = esc50(write())
    rows = rows_of(path)
    assert len(rows) == 15
    assert rows["audio/3-349-A-49.wav"] == ("hand_saw", "3", "49", "349")
    told = capsys.readouterr().err
    assert "15 clips: fold 1 3, fold 2 3" in told
    assert "fold 1 has 3 clips, officially 400" in told
    assert "the classes are not" not in told
    clips = read_manifest(path, labels=ESC50_CLASSES)
    assert clips.targets().tolist() == [int(t) for t in clips.columns["target"]]


def test_classes_are_fifty():
    assert len(set(ESC50_CLASSES)) == 50
    assert ESC50_CLASSES[0] == "dog"


def test_other_classes_and_more_files_are_told(write, touch, capsys):
    rows = [row.replace("hand_saw", "saw") for row in ROWS]
    folder = write(rows)
    touch("audio/6-1-A-0.wav")
    esc50(folder)
    told = capsys.readouterr().err
    assert "the classes are not those of ESC-50" in told
    assert "files in audio/ without a row: 1 (audio/6-1-A-0.wav)" in told


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (",1,0,dog", ",6,0,dog", "expected a fold of 1 to 5, received '6'"),
        (",1,0,dog", ",1,x,dog", "expected a number as target, received 'x'"),
        (",2,0,dog", ",2,0,cat", "target 0 is 'dog' in a row above, received 'cat'"),
        (",2,1,rooster", ",2,1,", "received ''"),
        ("False,10", "maybe,10", "expected esc10 True or False, received 'maybe'"),
        ("dog,False,20,A", "dog,False,10,A", "in the folds 1 and 2"),
        ("dog,False,10,A", "dog,False,10,A,B", "more: ['B']"),
        ("dog,False,10,A", "dog,False", "line 2: expected 7 fields, received 5"),
        ("dog,False,10,A", "dog,False,10", "line 2: expected 7 fields, received 6"),
        ("1-10-A-0.wav", "1-11-A-1.wav", "1-11-A-1.wav is listed twice"),
        ("1-10-A-0.wav", "../1-10-A-0.wav", "audio/../1-10-A-0.wav is not on disk"),
    ],
)
def test_wrong_rows(old, new, problem, write, problems_of):
    text = "\n".join(ROWS)
    assert old in text
    found = problems_of(esc50, write(text.replace(old, new).split("\n")))
    assert any(problem in text for text in found), found


def test_every_problem_is_listed(write, problems_of, tmp_path):
    assert "expected meta/esc50.csv and audio/" in problems_of(esc50, tmp_path)[0]
    folder = write(without="audio/1-10-A-0.wav")
    (folder / "audio" / "2-21-A-1.wav").unlink()
    assert problems_of(esc50, folder) == [
        "meta/esc50.csv line 2: audio/1-10-A-0.wav is not on disk",
        "meta/esc50.csv line 6: audio/2-21-A-1.wav is not on disk",
    ]
    assert "found none" in problems_of(esc50, write(rows=[]))[0]
    (problem,) = problems_of(esc50, write(rows=[ROWS[0].rpartition(",")[0]]))
    assert problem == "meta/esc50.csv line 2: expected 7 fields, received 6"
    (folder / "meta" / "esc50.csv").write_bytes(b"\xff\xfe")
    assert "no readable CSV" in problems_of(esc50, folder)[0]
