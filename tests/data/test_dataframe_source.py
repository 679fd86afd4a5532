import os
from pathlib import Path

import numpy as np
import pytest

from keras_asit.data.dataframe_source import is_dataframe
from keras_asit.data.manifest_error import ManifestError
from keras_asit.data.sources import read_manifest

pytestmark = pytest.mark.backend_free

pandas = pytest.importorskip("pandas")


def problems_of(frame, **kwargs):
    with pytest.raises(ManifestError) as error:
        read_manifest(frame, **kwargs)
    return error.value.problems


def test_what_a_frame_is(tmp_path):
    assert is_dataframe(pandas.DataFrame())
    for other in ("m.csv", tmp_path, ["a.wav"], {"path": ["a.wav"]}, np.zeros(3)):
        assert not is_dataframe(other)


def test_paths_start_from_the_current_folder_or_a_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frame = pandas.DataFrame({"path": ["a.wav", Path("dog") / "b.wav"]})
    manifest = read_manifest(frame)
    assert manifest.paths.tolist() == [
        str(tmp_path / "a.wav"),
        str(tmp_path / "dog/b.wav"),
    ]
    assert read_manifest(frame, root="/set").paths[0] == "/set/a.wav"
    assert read_manifest(frame, root="sub").root == str(tmp_path / "sub")


def test_labels_of_every_form():
    labels = [
        "dog; cow",
        ["rain", "dog"],
        ("cow",),
        set("hgfedcba"),
        np.array(["x"]),
        None,
        [],
    ]
    frame = pandas.DataFrame({"path": map(str, range(7)), "labels": labels})
    manifest = read_manifest(frame)
    assert manifest.labels.tolist() == [
        ("dog", "cow"),
        ("rain", "dog"),
        ("cow",),
        tuple("abcdefgh"),
        ("x",),
        (),
        (),
    ]


def test_a_name_in_a_list_is_not_divided():
    frame = pandas.DataFrame({"path": ["a"], "labels": [["rain; heavy"]]})
    assert read_manifest(frame).class_names == ["rain; heavy"]


def test_cells_are_texts_and_missing_ones_empty():
    frame = pandas.DataFrame(
        {
            "path": ["a", "b", "c"],
            "label": [3, 4, 3],
            "fold": [1, None, 10],
            "seconds": [1.0, 2.5, None],
            "speaker": ["x", float("nan"), pandas.NA],
            "day": [pandas.NaT, None, "monday"],
            "kept": [True, False, True],
            "count": pandas.array([1, None, 2], dtype="Int64"),
            7: ["p", "q", "r"],
        },
        index=[10, 10, 30],
    )
    manifest = read_manifest(frame)
    assert manifest.labels.tolist() == ["3", "4", "3"]
    assert {name: cells.tolist() for name, cells in manifest.columns.items()} == {
        "fold": ["1", "", "10"],
        "seconds": ["1.0", "2.5", ""],
        "speaker": ["x", "", ""],
        "day": ["", "", "monday"],
        "kept": ["True", "False", "True"],
        "count": ["1", "", "2"],
        "7": ["p", "q", "r"],
    }
    assert manifest.where(fold=10).paths.tolist() == [os.path.abspath("c")]


def test_more_rows_than_a_block():
    paths = [f"{i}.wav" for i in range(2500)]
    frame = pandas.DataFrame(
        {"path": paths, "label": [str(i % 7) for i in range(2500)]}
    )
    frame = frame.sample(frac=1.0, random_state=0)  # an index out of order
    manifest = read_manifest(frame, root="/set")
    assert manifest.paths.tolist() == [f"/set/{path}" for path in frame["path"]]
    assert manifest.labels.tolist() == frame["label"].tolist()


def test_every_problem_with_its_row():
    frame = pandas.DataFrame(
        {
            "path": ["a", None, "../c", "a", "e\0"],
            "labels": ["x", "x", ["y"], "x", "x"],
        },
        index=list("vwxyz"),
    )
    problems = problems_of(frame, labels=["x"], root="/set")
    wanted = [
        "row 1: the path is empty",
        "row 2: ../c lies outside /set: ",
        "row 2: unknown labels ['y']",
        "row 3: a is also in row 0: it would count twice",
        "row 4: a NUL byte",
    ]
    assert len(problems) == len(wanted)
    assert all(map(str.startswith, problems, wanted))


def test_cells_that_hold_several(tmp_path):
    frame = pandas.DataFrame(
        {
            "path": ["a", "b", "c", " d "],
            "label": [[["a", "b"], "c"], {"a": 1}, pandas.Series(["a"]), np.array("x")],
            "emb": [np.zeros(3), pandas.Series([1, 2]), [1], b"bytes"],
            "note": ["x\ny", " z", "", ""],
        }
    )
    problems = problems_of(frame, root="/set")
    names = "expected text or a list of names as 'label', received "
    text = "expected text or a number as 'emb', received "
    assert problems[:2] == [
        rf"row 0: {names}[['a', 'b'], 'c']",
        f"row 0: {text}array([0., 0., 0.])",
    ]
    assert problems[2] == r"row 0: a line break in note 'x\ny'"
    wanted = [(row, what) for row in (1, 2, 3) for what in (names, text)]
    assert len(problems) == 3 + len(wanted)
    for problem, (row, what) in zip(problems[3:], wanted):
        assert problem.startswith(f"row {row}: {what}")
        assert problem.isprintable() and len(problem) < 150


def test_names_of_columns():
    frame = pandas.DataFrame([["a", "x", "y", "z"]], columns=["file", "f", "f", ""])
    assert problems_of(frame) == [
        "expected a column `path`, received the columns ['file', 'f', 'f', '']",
        "column 4 has no name (pandas writes one unless index=False)",
        "2 columns are called 'f'",
    ]
    assert problems_of(pandas.DataFrame({"path": []}))[0].startswith("no rows")
