import gc
import json
import os

import numpy as np
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


def test_each_kind_of_source_gives_the_same(tmp_path):
    rows = {"dog/a.wav": "dog", "rain/b.wav": "rain"}
    for path in rows:
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).touch()
    lines = ["path,label", *map(",".join, rows.items())]
    wavs = [{"wav": path, "labels": label} for path, label in rows.items()]
    for source in (
        write(tmp_path / "m.csv", "\n".join(lines)),
        write(tmp_path / "m.json", json.dumps({"data": wavs})),
        str(tmp_path),
    ):
        manifest = read_manifest(source)
        assert manifest.paths.tolist() == [str(tmp_path / path) for path in rows]
        assert manifest.labels.tolist() == ["dog", "rain"]
        assert manifest.class_names == ["dog", "rain"]
        assert (manifest.root, manifest.allow_outside) == (str(tmp_path), False)
        assert manifest.columns == {}


def test_a_folder_with_a_manifest_is_read_by_it(tmp_path):
    write(tmp_path / "manifest.csv", "path,label\na.wav,x\n")
    assert read_manifest(tmp_path).labels.tolist() == ["x"]


def test_the_suffix_of_a_json_in_capitals(tmp_path):
    path = write(tmp_path / "m.JSON", '{"data": [{"wav": "a.wav"}]}')
    assert len(read_manifest(path)) == 1


def test_a_root_of_its_own(tmp_path):
    path = write(tmp_path / "m.csv", f"path\na.wav\n{tmp_path}/clips/b.wav\n")
    manifest = read_manifest(path, root=tmp_path / "clips")
    clips = tmp_path / "clips"
    assert manifest.paths.tolist() == [str(clips / "a.wav"), str(clips / "b.wav")]
    assert manifest.root == str(clips)
    with pytest.raises(ValueError, match="Expected no root for a folder"):
        clips.mkdir()
        read_manifest(clips, root=tmp_path)


def test_clips_outside_where_allowed(tmp_path):
    path = write(tmp_path / "m.csv", "path\n../b.wav\n/etc/c.wav\n")
    manifest = read_manifest(path, allow_outside=True)
    assert manifest.paths.tolist() == [str(tmp_path.parent / "b.wav"), "/etc/c.wav"]
    assert manifest.confinement() is None
    problems = problems_of(path)
    assert problems[0].startswith(f"line 2: ../b.wav lies outside {tmp_path}: ")
    assert problems[1].startswith(f"line 3: /etc/c.wav lies outside {tmp_path}: ")
    assert all("allow_outside=True" in problem for problem in problems)


def test_missing_files(tmp_path):
    assert problems_of(tmp_path / "m.csv") == ["no such file or folder"]
    path = write(tmp_path / "m.csv", "path\na.wav\n")
    labels = tmp_path / "none.csv"
    assert problems_of(path, labels=labels) == [f"labels {labels}: no such label CSV"]


def test_problems_of_the_label_csv_and_of_the_manifest_come_together(tmp_path):
    labels = write(tmp_path / "l.csv", "index,mid,display_name\n0,/m/1,d\n0,/m/2,e\n")
    path = write(tmp_path / "m.csv", "path,label\n,d\n")
    assert problems_of(path, labels=labels) == [
        f"labels {labels}: line 3: index '0' is also in line 2",
        "line 2: the path is empty",
    ]
    assert problems_of(path, labels=["d", "d"])[0] == (
        "labels given: class 'd' is there 2 times"
    )


@pytest.mark.parametrize("source", [None, 3, "", ["a.wav"]])
def test_no_source_at_all(source):
    with pytest.raises(ValueError, match="a CSV, a JSON or a folder, or a DataFrame"):
        read_manifest(source)


def test_garbage_is_collected_again_afterwards(tmp_path):
    assert gc.isenabled()
    problems_of(write(tmp_path / "m.csv", "path\n../a.wav\n"))
    assert gc.isenabled()


def test_what_the_datasets_take(tmp_path):
    path = write(tmp_path / "m.csv", "path\na.wav\n")
    manifest = as_manifest(path)
    assert as_manifest(manifest) is manifest
    listed = as_manifest(["x.wav", tmp_path / "y.wav", "../z.wav"])
    names = ["x.wav", str(tmp_path / "y.wav"), "../z.wav"]
    assert listed.paths.tolist() == [os.path.abspath(name) for name in names]
    assert listed.confinement() is None  # the program's own choice
    with pytest.raises(ValueError, match="at least one audio path"):
        as_manifest([])


def test_a_data_frame_is_no_list_of_paths(tmp_path, monkeypatch):
    pandas = pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    manifest = as_manifest(pandas.DataFrame({"path": ["a.wav"], "label": ["dog"]}))
    assert manifest.paths.tolist() == [str(tmp_path / "a.wav")]
    assert manifest.labels.tolist() == ["dog"]


JUNK = (
    b'"|,|\n|\r|;|\0|\xff|../|/|{|}|[|]|:|null|1e999|\\ud800|path|wav|\xff\xfe'.split(
        b"|"
    )
)


def damaged(text, rng):
    """A text with a few of its parts gone, doubled, turned or replaced by junk."""
    text = bytearray(text.encode())
    for _ in range(rng.integers(1, 5)):
        start = int(rng.integers(len(text)))
        part = slice(start, start + int(rng.integers(20)))
        kind = rng.integers(4)
        if kind == 0:
            text[start] ^= 1 << int(rng.integers(8))
        else:
            text[part] = [JUNK[rng.integers(len(JUNK))], b"", 2 * text[part]][kind - 1]
        text = text or bytearray(b"x")
    return bytes(text)


@pytest.mark.parametrize("name", ["m.csv", "m.json", "labels.csv"])
def test_damaged_files_give_a_manifest_or_a_list_of_problems(tmp_path, name):
    wavs = [{"wav": f"d/{i}.wav", "labels": "/m/a,/m/b", "n": i} for i in range(9)]
    lines = [f'"d/{i}.wav",/m/a;Bärk,{i}\n' for i in range(9)]
    texts = {
        "m.csv": "path,label,n\n" + "".join(lines),
        "m.json": json.dumps({"data": wavs}),
        "labels.csv": 'index,mid,display_name\n0,/m/a,"Rain, heavy"\n1,/m/b,Bärk\n',
    }
    for other, text in texts.items():
        (tmp_path / other).write_text(text, encoding="utf-8")
    source = "m.csv" if name == "labels.csv" else name
    rng = np.random.default_rng(0)
    for _ in range(300):
        (tmp_path / name).write_bytes(damaged(texts[name], rng))
        try:
            manifest = read_manifest(tmp_path / source, labels=tmp_path / "labels.csv")
        except ManifestError as error:
            assert error.problems
            str(error).encode()  # may be printed
        else:
            inside = str(tmp_path) + os.sep
            assert all(os.path.normpath(p).startswith(inside) for p in manifest.paths)


def test_real_manifests(data_root):
    esc10 = read_manifest(data_root / "esc10" / "manifest.csv")
    assert len(esc10) == 400
    assert len(esc10.class_names) == 10
    assert all(os.path.exists(path) for path in esc10.paths)
    assert len(esc10.where(fold=lambda fold: fold != "1")) == 320
    fsdd = read_manifest(data_root / "fsdd")
    assert fsdd.class_names == [str(digit) for digit in range(10)]
