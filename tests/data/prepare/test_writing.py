import os
import sys
from pathlib import Path

import pytest

from keras_asit.data import read_manifest
from keras_asit.data.manifest_error import ManifestError
from keras_asit.data.prepare import writing


def write(out, rows=(("1.wav", "dog, big"),), overwrite=False, folder=None):
    folder = folder or out.parent
    columns = ("path", "label")
    return writing.write_manifest(out, folder, columns, rows, overwrite, "set")


def test_what_is_written_is_read_back(tmp_path):
    assert write(tmp_path / "m.csv") == tmp_path / "m.csv"
    manifest = read_manifest(tmp_path / "m.csv")
    assert manifest.paths.tolist() == [str(tmp_path / "1.wav")]
    assert manifest.labels.tolist() == ["dog, big"]


def test_another_file_stays_unless_it_may_be_replaced(tmp_path, problems_of):
    out = tmp_path / "m.csv"
    write(out)
    write(out)  # the same contents
    (problem,) = problems_of(write, out, rows=[("2.wav", "cat")])
    assert "a file of other contents" in problem
    assert "1.wav" in out.read_text()
    write(out, rows=[("2.wav", "cat")], overwrite=True)
    assert "2.wav" in out.read_text()
    assert list(tmp_path.iterdir()) == [out], "nothing is left beside it"


def test_rows_that_end_in_an_error_leave_nothing(tmp_path):
    def rows():
        yield "1.wav", "dog"
        raise InterruptedError

    with pytest.raises(InterruptedError):
        write(tmp_path / "m.csv", rows())
    assert not list(tmp_path.iterdir())


def test_paths_are_relative_to_the_csv(tmp_path, capsys):
    (tmp_path / "set").mkdir()
    (tmp_path / "out").mkdir()
    write(tmp_path / "m.csv", folder=tmp_path / "set")
    assert "\nset/1.wav," in (tmp_path / "m.csv").read_text()
    assert "outside" not in capsys.readouterr().err
    out = write(tmp_path / "out" / "m.csv", folder=tmp_path / "set")
    assert "\n../set/1.wav," in out.read_text()
    assert "allow_outside=True" in capsys.readouterr().err
    manifest = read_manifest(out, allow_outside=True)
    assert manifest.paths.tolist() == [str(tmp_path / "set" / "1.wav")]


@pytest.mark.parametrize("link", ["set/clips", "set/clips/2.wav"])
def test_links_to_elsewhere_are_told_once(link, touch, tmp_path, capsys, problems_of):
    """What the manifest then needs to be read, whatever is a link."""
    link, target = tmp_path / link, tmp_path / "disk"
    touch("disk/1.wav", "disk/2.wav", "set/a/1.wav")
    if link.suffix:
        touch("set/clips/1.wav")
        target = target / "2.wav"
    link.symlink_to(target)
    rows = [(name, "dog") for name in ("a/1.wav", "clips/1.wav", "clips/2.wav")]
    out = write(tmp_path / "set" / "m.csv", rows)
    told = capsys.readouterr().err
    assert told.count("allow_outside=True") == 1
    first = "clips/2.wav" if link.suffix else "clips/1.wav"
    assert f"set: clips such as {first} lie outside the manifest's folder" in told
    assert problems_of(read_manifest, out)
    assert len(read_manifest(out, allow_outside=True)) == 3


def test_links_that_stay_inside_need_nothing(touch, tmp_path, capsys):
    touch("set/a/1.wav")
    (tmp_path / "set" / "a" / "2.wav").symlink_to(tmp_path / "set" / "a" / "1.wav")
    out = write(tmp_path / "set" / "m.csv", [("a/1.wav", "dog"), ("a/2.wav", "dog")])
    assert not capsys.readouterr().err
    assert len(read_manifest(out)) == 2


@pytest.mark.skipif(
    os.name != "posix" or sys.platform == "darwin", reason="Linux names"
)
def test_names_that_are_not_utf8_are_listed(tmp_path, problems_of):
    name = os.fsdecode(b"a\xff.wav")
    (tmp_path / name).touch()
    rows = [(name, "dog"), ("1.wav", "dog")]
    (problem,) = problems_of(write, tmp_path / "m.csv", rows)
    assert problem.startswith(r"'a\udcff.wav': expected a name in UTF-8. Rename it")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch, problems_of):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    (problem,) = problems_of(write, tmp_path / "m.csv")
    assert problem == (
        "cannot write it (Permission denied): write elsewhere: out, or --out"
    )


def test_the_message_does_not_call_a_folder_a_manifest(tmp_path):
    with pytest.raises(ManifestError) as error:
        writing.data_folder(tmp_path / "no")
    assert str(error.value) == f"Cannot prepare {tmp_path}/no:\n  no such folder"


def test_folders_are_looked_up_first(tmp_path, problems_of):
    assert problems_of(writing.data_folder, tmp_path / "no") == ["no such folder"]
    for out in (tmp_path / "no" / "m.csv", tmp_path, tmp_path / "m.json"):
        (problem,) = problems_of(writing.output_path, tmp_path, out)
        assert problem.startswith("expected the path of a file .csv to write")
    assert writing.output_path(tmp_path, None) == tmp_path / "manifest.csv"


def test_counts_that_differ_are_told(capsys):
    writing.tell_counts("set", ["test", "train", "train"], {"train": 2, "test": 1_000})
    assert capsys.readouterr().err.splitlines() == [
        "set: 3 clips: test 1, train 2",
        "set: test has 1 clips, officially 1,000: results are not comparable with "
        "published ones",
    ]


def test_odd_paths_are_counted_and_the_first_are_named(capsys):
    odd = writing.Odd()
    odd.tell("set", "odd")
    assert not capsys.readouterr().err
    for name in "abcd":
        odd.add(name)
    odd.tell("set", "odd")
    assert capsys.readouterr().err == "set: odd: 4 (a, b, c, ...)\n"
