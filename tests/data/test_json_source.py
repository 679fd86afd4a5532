import json

import pytest

from keras_asit.data import clip_table
from keras_asit.data.manifest_error import ManifestError
from keras_asit.data.sources import read_manifest

pytestmark = pytest.mark.backend_free


def write(path, rows):
    path.write_text(rows if isinstance(rows, str) else json.dumps({"data": rows}))
    return path


def problems_of(path, **kwargs):
    with pytest.raises(ManifestError) as error:
        read_manifest(path, **kwargs)
    return error.value.problems


def test_audioset_with_its_label_csv(tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text('index,mid,display_name\n1,/m/a,"Rain, heavy"\n0,/m/b,Bark\n')
    inside = str(tmp_path / "b.wav")
    rows = [{"wav": "a.wav", "labels": "/m/a,/m/b"}, {"wav": inside, "labels": "/m/b"}]
    path = write(tmp_path / "m.json", rows)
    manifest = read_manifest(path, labels=labels)
    assert manifest.class_names == ["Bark", "Rain, heavy"]
    assert manifest.labels.tolist() == [("Rain, heavy", "Bark"), ("Bark",)]
    assert manifest.targets().tolist() == [[1, 1], [1, 0]]
    assert read_manifest(path).class_names == ["/m/a", "/m/b"]


def test_other_keys_are_columns(tmp_path):
    rows = [
        {"wav": "a.wav", "labels": "x", "fold": 1, "ok": True},
        {"labels": "x", "wav": "b.wav", "fold": None, "seconds": 1.5},
        {"wav": "c.wav"},
    ]
    manifest = read_manifest(write(tmp_path / "m.json", rows))
    assert manifest.labels.tolist() == ["x", "x", ""]
    assert {name: cells.tolist() for name, cells in manifest.columns.items()} == {
        "fold": ["1", "", ""],
        "ok": ["True", "", ""],
        "seconds": ["", "1.5", ""],
    }


def test_blocks_of_like_rows_and_of_others(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_asit.data.json_source.BLOCK", 2)
    assert clip_table.BLOCK > 2
    rows = [{"wav": f"{i}.wav", "labels": str(i % 2), "n": i} for i in range(5)]
    rows[3]["late"] = "yes"
    manifest = read_manifest(write(tmp_path / "m.json", rows))
    assert manifest.labels.tolist() == ["0", "1", "0", "1", "0"]
    assert manifest.columns["n"].tolist() == list("01234")
    assert manifest.columns["late"].tolist() == ["", "", "", "yes", ""]


def test_every_row_at_fault_is_named(tmp_path):
    rows = [
        {"wav": "a.wav", "labels": "x"},
        "b.wav",
        {"wav": 1, "labels": ["x"]},
        {"labels": "x"},
        {"wav": "c.wav", "meta": {"deep": [1]}, "list": []},
        {"wav": "../d.wav", "labels": "x,q"},
        {"wav": "./a.wav", "labels": "x"},
        {"wav": "\ud800.wav"},
        {"wav": "e.wav", "labels": "\0"},
        {"wav": "f.wav", "speaker": "\udfff"},
        None,
    ]
    problems = problems_of(write(tmp_path / "m.json", rows), labels=["x"])
    wanted = [
        ("data[1]", "expected an object with `wav` and `labels`, received 'b.wav'"),
        ("data[2]", "expected texts `wav` and `labels`"),
        ("data[3]", "expected texts `wav` and `labels`, received {'labels': 'x'}"),
        ("data[4]", "expected text or a number as 'meta'"),
        ("data[4]", "expected text or a number as 'list', received []"),
        ("data[5]", "../d.wav lies outside"),
        ("data[5]", "unknown labels ['q']"),
        ("data[6]", ": a.wav is also in data[0]: it would count twice"),
        ("data[7]", r"in the path '\ud800.wav'"),
        ("data[8]", r"in the labels ['\x00']"),
        ("data[9]", r"in speaker '\udfff'"),
        ("data[10]", "expected an object"),
    ]
    assert len(problems) == len(wanted)
    for problem, (row, part) in zip(problems, wanted):
        assert problem.startswith(f"{row}: ") and part in problem


def test_keys_that_no_column_can_have(tmp_path):
    rows = [{"wav": "a.wav", "labels": "x", " note": "1", "": 2, "a\nb": 3}]
    assert problems_of(write(tmp_path / "m.json", rows)) == [
        "outer spaces in the key ' note': rename it",
        "no letter in the key '': rename it",
        r"a line break in the key 'a\nb': rename it",
    ]


def test_spaces_around_cells_and_line_breaks_in_them(tmp_path):
    rows = [{"wav": " a.wav ", "labels": " x", "fold": " 1"}]
    manifest = read_manifest(write(tmp_path / "m.json", rows))
    assert manifest.row(0) == {
        "path": str(tmp_path / "a.wav"),
        "label": "x",
        "fold": "1",
    }
    rows = [{"wav": "a\r.wav", "labels": "x\ny", "note": "1\r2"}]
    assert problems_of(write(tmp_path / "m.json", rows)) == [
        r"data[0]: a line break in the path 'a\r.wav'",
        r"data[0]: a line break in the labels ['x\ny']",
        r"data[0]: a line break in note '1\r2'",
    ]


def test_rows_that_are_alike_in_a_fault(tmp_path):
    rows = [{"wav": f"{i}.wav", "labels": "x", "events": [i]} for i in range(3)]
    problems = problems_of(write(tmp_path / "m.json", rows))
    assert problems == [
        f"data[{i}]: expected text or a number as 'events', received [{i}]"
        for i in range(3)
    ]


def test_keys_that_name_the_same(tmp_path):
    rows = [{"wav": "a.wav", "path": "b.wav", "label": "x"}]
    (problem,) = problems_of(write(tmp_path / "m.json", rows))
    assert problem.startswith("keys ['path', 'label'] beside `wav` and `labels`")


@pytest.mark.parametrize(
    "text, problem",
    [
        ("{", "not a readable JSON: Expecting property name"),
        ('{"data": [{"wav": "a.wav"},]}', "line 1 column 28"),
        ("[]", 'expected {"data"'),
        ('{"data": {"wav": "a.wav"}}', 'expected {"data"'),
        ('{"data": []}', "no rows: expected at least one clip"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_such_json(tmp_path, text, problem):
    (found,) = problems_of(write(tmp_path / "m.json", text))
    assert problem in found


def test_encodings(tmp_path):
    path = tmp_path / "m.json"
    text = '{"data": [{"wav": "a.wav"}, {"wav": "é.wav"}]}'
    for encoding in ("utf-8", "utf-8-sig"):
        path.write_bytes(text.encode(encoding))
        assert len(read_manifest(path)) == 2
    path.write_bytes(text.encode("latin-1"))
    (problem,) = problems_of(path)
    assert problem.startswith("data[1]: ") and "not UTF-8" in problem
    path.write_bytes(text.encode("utf-16"))
    assert problems_of(path) == ["not a readable JSON: it is UTF-16. Save it as UTF-8"]
