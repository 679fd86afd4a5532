import json
import os

import pytest

from keras_asit.data import read_manifest
from keras_asit.data.manifest import ManifestError
from keras_asit.data.sources import as_manifest


def problems_of(*args, **kwargs):
    with pytest.raises(ManifestError) as error:
        read_manifest(*args, **kwargs)
    assert isinstance(error.value, ValueError)
    return error.value.problems


def write(path, text):
    path.write_text(text)
    return path


def write_labels(folder):
    text = 'index,mid,display_name\n1,/m/a,"Rain, heavy"\n0,/m/b,Bark\n'
    return write(folder / "labels.csv", text)


def test_csv(tmp_path):
    text = "path,label,fold\na b.wav,dog,1\nsub/c.wav,,2\n"
    manifest = read_manifest(write(tmp_path / "m.csv", text))
    assert manifest.paths[0] == os.path.join(tmp_path, "a b.wav")
    assert manifest.labels.tolist() == ["dog", ""]
    assert manifest.columns["fold"].tolist() == ["1", "2"]
    assert manifest.root == str(tmp_path)


def test_csv_with_many_labels_and_with_none(tmp_path):
    text = "path,labels\na.wav,dog; rain\nb.wav,\n"
    manifest = read_manifest(write(tmp_path / "m.csv", text))
    assert manifest.labels.tolist() == [("dog", "rain"), ()]
    manifest = read_manifest(write(tmp_path / "n.csv", "path\na.wav\n"))
    assert manifest.labels.tolist() == [""]


def test_audioset_json_with_its_label_csv(tmp_path):
    inside = str(tmp_path / "b.wav")
    rows = [{"wav": "a.wav", "labels": "/m/a,/m/b"}, {"wav": inside, "labels": "/m/b"}]
    path = write(tmp_path / "m.json", json.dumps({"data": rows}))
    manifest = read_manifest(path, labels=write_labels(tmp_path))
    assert manifest.class_names == ["Bark", "Rain, heavy"]
    assert manifest.labels.tolist() == [("Rain, heavy", "Bark"), ("Bark",)]
    assert manifest.targets().tolist() == [[1, 1], [1, 0]]
    assert read_manifest(path).class_names == ["/m/a", "/m/b"]


def test_folder_of_class_folders(tmp_path):
    for name in ("dog/b.wav", "dog/deep/a.FLAC", "cat/c.ogg", "d.mp3", "cat/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    manifest = read_manifest(tmp_path)
    relative = [os.path.relpath(path, tmp_path) for path in manifest.paths]
    assert relative == ["d.mp3", "cat/c.ogg", "dog/b.wav", "dog/deep/a.FLAC"]
    assert manifest.labels.tolist() == ["", "cat", "dog", "dog"]


def test_hidden_files_and_folders_are_no_clips(tmp_path):
    for name in ("dog/b.wav", "dog/._b.wav", "__MACOSX/dog/b.wav", ".git/c.wav"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    manifest = read_manifest(tmp_path)
    assert manifest.paths.tolist() == [str(tmp_path / "dog" / "b.wav")]
    assert manifest.class_names == ["dog"]


def test_folder_with_a_manifest_is_read_by_it(tmp_path):
    write(tmp_path / "manifest.csv", "path,label\na.wav,x\n")
    assert read_manifest(tmp_path).labels.tolist() == ["x"]


def test_every_problem_is_listed_with_its_row(tmp_path):
    text = "path,label\na.wav,x\n,x\n../b.wav,y\n/etc/c.wav,x\n"
    problems = problems_of(write(tmp_path / "m.csv", text), labels=["x"])
    assert [problem.split(":")[0] for problem in problems] == [
        "line 3",
        "line 4",
        "line 5",
        "line 4",
    ]
    assert "empty" in problems[0]
    assert "allow_outside=True" in problems[1]
    assert "unknown labels ['y']" in problems[3]


def test_clips_outside_where_allowed(tmp_path):
    path = write(tmp_path / "m.csv", "path\n../b.wav\n/etc/c.wav\n")
    manifest = read_manifest(path, allow_outside=True)
    assert manifest.paths.tolist() == [str(tmp_path.parent / "b.wav"), "/etc/c.wav"]


@pytest.mark.parametrize(
    "name, text, problem",
    [
        ("m.csv", "", "expected a column `path`"),
        ("m.csv", "file,label\na.wav,x\n", "received the columns ['file', 'label']"),
        ("m.csv", "path,label\n", "no rows"),
        ("m.csv", "path,label\na.wav,x\nb.wav\n", "line 3: expected 2 fields"),
        ("m.json", "{", "not a readable JSON"),
        ("m.json", "[]", 'expected {"data"'),
        ("m.json", '{"data": []}', "no rows"),
        ("m.json", '{"data": [{"wav": 1}]}', "data[0]: expected texts"),
    ],
)
def test_unusable_files(tmp_path, name, text, problem):
    problems = problems_of(write(tmp_path / name, text))
    assert len(problems) == 1
    assert problem in problems[0]


def test_missing_files(tmp_path):
    assert problems_of(tmp_path / "m.csv") == ["no such file or folder"]
    path = write(tmp_path / "m.csv", "path\na.wav\n")
    assert "label CSV" in problems_of(path, labels=tmp_path / "none.csv")[0]


def test_long_lists_of_problems_are_kept_and_shown_in_part(tmp_path):
    path = write(tmp_path / "m.csv", "path\n" + "../a.wav\n" * 50)
    with pytest.raises(ManifestError, match="and 30 more problems") as error:
        read_manifest(path)
    assert len(error.value.problems) == 50


def test_what_the_datasets_take(tmp_path):
    path = write(tmp_path / "m.csv", "path\na.wav\n")
    manifest = as_manifest(path)
    assert as_manifest(manifest) is manifest
    assert as_manifest(["x.wav"]).paths.tolist() == [os.path.abspath("x.wav")]
    with pytest.raises(ValueError, match="at least one audio path"):
        as_manifest([])


def test_real_manifests(data_root):
    esc10 = read_manifest(data_root / "esc10" / "manifest.csv")
    assert len(esc10) == 400
    assert len(esc10.class_names) == 10
    assert all(os.path.exists(path) for path in esc10.paths)
    assert len(esc10.where(fold=lambda fold: fold != "1")) == 320
    fsdd = read_manifest(data_root / "fsdd")
    assert fsdd.class_names == [str(digit) for digit in range(10)]
