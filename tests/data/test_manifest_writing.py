import os

import pytest

from keras_asit.data.manifest import Manifest, ManifestError
from keras_asit.data.sources import read_manifest

pytestmark = pytest.mark.backend_free


def assert_same(one, other):
    assert one.paths.tolist() == other.paths.tolist()
    assert one.labels.tolist() == other.labels.tolist()
    assert one.class_names == other.class_names
    assert list(one.columns) == list(other.columns)
    for name, column in one.columns.items():
        assert column.tolist() == other.columns[name].tolist()


@pytest.mark.parametrize(
    "label_lists",
    [
        None,
        [("dog",), ("cow, brown",), (), ("dog",)],
        [("dog", 'a "cow"'), (), ("rain",), ("dog",)],
    ],
)
def test_round_trip(tmp_path, label_lists):
    names = ["a.wav", "dog/b 2.wav", 'c,"1".wav', "d.wav"]
    columns = {
        "note": ["a b", "", "c", "'"],
        "fold": list("1212"),
        "title": ["", "x;y", 'a "b", c', '"'],
        "é": [""] * 4,
    }
    paths = [str(tmp_path / name) for name in names]
    manifest = Manifest(paths, label_lists, columns=columns, root=tmp_path)
    manifest.write_csv(tmp_path / "m.csv")
    assert_same(read_manifest(tmp_path / "m.csv"), manifest)
    assert os.listdir(tmp_path) == ["m.csv"]


def test_more_rows_than_a_block(tmp_path):
    paths = [str(tmp_path / f"{i}.wav") for i in range(2500)]
    labels = [(f"class {i % 7}",) for i in range(2500)]
    manifest = Manifest(paths, labels, columns={"n": map(str, range(2500))})
    manifest.write_csv(tmp_path / "m.csv")
    assert_same(read_manifest(tmp_path / "m.csv"), manifest)
    assert len((tmp_path / "m.csv").read_bytes().splitlines()) == 2501


def test_the_text_by_hand(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    manifest = Manifest(
        [str(tmp_path / "new" / "a.wav"), "/elsewhere/b.wav", "c.wav"],
        [("dog", "rain"), (), ("dog",)],
        columns={"fold": [1, None, "3"]},
    )
    manifest.write_csv("new/m.csv")
    assert (tmp_path / "new" / "m.csv").read_bytes().decode() == (
        "path,labels,fold\n"
        "a.wav,dog;rain,1\n"
        "/elsewhere/b.wav,,\n"
        f"{tmp_path}/c.wav,dog,3\n"
    )


def test_without_labels_there_is_no_column_for_them(tmp_path):
    Manifest([str(tmp_path / "a.wav")]).write_csv(tmp_path / "m.csv")
    assert (tmp_path / "m.csv").read_text() == "path\na.wav\n"


def test_all_that_could_not_be_read_back_is_listed_and_nothing_written(tmp_path):
    (tmp_path / "m.csv").write_text("old")
    manifest = Manifest(
        ["/a", "/b\0", "/c", str(tmp_path / " d.wav")],
        [("dog;cow", " rain"), ("",), ("dog",), ("dog",)],
        columns={"fold ": ["1", "2", "\udcff", "3\r"], "note": ["", " x", "", ""]},
    )
    with pytest.raises(ManifestError) as error:
        manifest.write_csv(tmp_path / "m.csv")
    problems = error.value.problems
    assert [problem.partition(": ")[0] for problem in problems] == [
        "class ''",
        "class ' rain'",
        "class 'dog;cow'",
        "column 'fold '",
        "row 1",
        "row 3",
        "row 2",
        "row 3",
        "row 1",
    ]
    assert problems[4].endswith(r"in the column path. Received: '/b\x00'")
    assert problems[5] == "row 3: outer spaces in the column path. Received: ' d.wav'"
    assert problems[6].endswith(r"in the column fold . Received: '\udcff'")
    assert problems[7] == r"row 3: a line break in the column fold . Received: '3\r'"
    assert problems[8] == "row 1: outer spaces in the column note. Received: ' x'"
    assert (tmp_path / "m.csv").read_text() == "old"
    assert os.listdir(tmp_path) == ["m.csv"]


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "m.csv").write_text("old")

    def stop(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        Manifest(["/a.wav"]).write_csv(tmp_path / "m.csv")
    assert (tmp_path / "m.csv").read_text() == "old"
    assert os.listdir(tmp_path) == ["m.csv"]
