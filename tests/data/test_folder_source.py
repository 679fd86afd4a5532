import os

import pytest

from keras_asit.data.manifest_error import ManifestError
from keras_asit.data.sources import read_manifest

pytestmark = pytest.mark.backend_free


def touch(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def problems_of(path, **kwargs):
    with pytest.raises(ManifestError) as error:
        read_manifest(path, **kwargs)
    return error.value.problems


def relative(manifest):
    return [os.path.relpath(path, manifest.root) for path in manifest.paths]


def test_a_folder_of_class_folders(tmp_path):
    touch(tmp_path, "dog/b.wav", "dog/deep/a.FLAC", "cat/c.ogg", "d.mp3", "cat/n.txt")
    manifest = read_manifest(tmp_path)
    assert relative(manifest) == ["d.mp3", "cat/c.ogg", "dog/b.wav", "dog/deep/a.FLAC"]
    assert manifest.labels.tolist() == ["", "cat", "dog", "dog"]
    assert manifest.columns == {}


def test_folders_are_sorted_by_name_not_by_path(tmp_path):
    touch(tmp_path, "a b/1.wav", "a/2.wav", "a/b/3.wav", "a/c.wav", "a.b/4.wav")
    expected = ["a/2.wav", "a/c.wav", "a/b/3.wav", "a b/1.wav", "a.b/4.wav"]
    assert relative(read_manifest(tmp_path)) == expected


def test_a_folder_without_class_folders_has_no_labels(tmp_path):
    touch(tmp_path, "a.wav", "b.opus")
    manifest = read_manifest(tmp_path)
    assert manifest.labels.tolist() == ["", ""]
    assert manifest.class_names == []


def test_hidden_files_and_folders_are_no_clips(tmp_path):
    touch(tmp_path, "dog/b.wav", "dog/._b.wav", "__MACOSX/dog/b.wav", ".git/c.wav")
    manifest = read_manifest(tmp_path)
    assert manifest.paths.tolist() == [str(tmp_path / "dog" / "b.wav")]
    assert manifest.class_names == ["dog"]


def test_a_folder_without_clips(tmp_path):
    (problem,) = problems_of(tmp_path)
    assert problem.startswith("no audio files (.wav, .flac, ")
    assert "others" not in problem
    touch(tmp_path, "dog/notes.txt")
    assert "only others such as dog/notes.txt" in problems_of(tmp_path)[0]


def test_classes_by_a_list(tmp_path):
    touch(tmp_path, "dog/a.wav", "cow/b.wav")
    assert read_manifest(tmp_path, labels=["dog", "cow"]).targets().tolist() == [1, 0]
    problems = problems_of(tmp_path, labels=["dog"])
    assert problems == ["file 'cow/b.wav': unknown labels ['cow']"]


def test_parts_of_a_set_are_no_classes(tmp_path):
    touch(tmp_path, "Train/dog/a.wav", "test/dog/b.wav", "notes/c.txt")
    (problem,) = problems_of(tmp_path)
    assert problem.startswith("folders ['Train', 'test'] would be the classes: give ")
    assert read_manifest(tmp_path / "Train").class_names == ["dog"]
    touch(tmp_path, "rain/d.wav")
    assert read_manifest(tmp_path).class_names == ["Train", "rain", "test"]


def test_what_cannot_be_looked_into_is_listed(tmp_path, monkeypatch):
    touch(tmp_path, "cat/a.wav", "dog/b.wav", "rain/c.wav")
    scandir = os.scandir

    def refuse(folder):
        if os.path.basename(os.path.normpath(folder)) in ("cat", "rain"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert problems_of(tmp_path) == [
        "folder cat/: Permission denied",
        "folder rain/: Permission denied",
    ]


def test_names_that_are_no_text_and_pipes(tmp_path):
    touch(tmp_path, "dog/a.wav")
    try:
        open(os.path.join(os.fsencode(tmp_path), b"dog/caf\xe9.wav"), "w").close()
        os.mkfifo(tmp_path / "dog" / "pipe.wav")
    except OSError:
        pytest.skip("this file system takes no such names")
    problems = problems_of(tmp_path)
    assert problems[0] == "dog/pipe.wav is no regular file"
    assert r"not UTF-8 in the path 'dog/caf\udce9.wav'" in problems[1]


@pytest.fixture
def linked(tmp_path):
    touch(tmp_path, "set/dog/1.wav", "outside/2.wav", "outside/deep/3.wav")
    (tmp_path / "set" / "cow").symlink_to("../outside")
    (tmp_path / "set" / "dog" / "2.wav").symlink_to(tmp_path / "outside" / "2.wav")
    return tmp_path / "set"


def test_links_that_lead_outside(linked, monkeypatch):
    monkeypatch.setattr("keras_asit.data.clip_table._LINKS_LOOKED_UP", 0)
    problems = problems_of(linked)
    assert len(problems) == 2
    for problem, name in zip(problems, ("cow", "dog/2.wav")):
        assert problem.startswith(f"{name} lies outside {linked} by a link to ")
    expected = ["cow/2.wav", "cow/deep/3.wav", "dog/1.wav", "dog/2.wav"]
    manifest = read_manifest(linked, allow_outside=True)
    assert relative(manifest) == expected
    assert manifest.labels.tolist() == ["cow", "cow", "dog", "dog"]


def test_links_that_stay_inside_count_nothing_twice(tmp_path):
    touch(tmp_path, "dog/1.wav")
    (tmp_path / "hound").symlink_to("dog")
    (tmp_path / "dog" / "round").symlink_to("..")
    (tmp_path / "dog" / "other.wav").symlink_to("1.wav")
    for allow_outside in (False, True):
        manifest = read_manifest(tmp_path, allow_outside=allow_outside)
        assert relative(manifest) == ["dog/1.wav", "dog/other.wav"]


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")])
def test_links_to_a_folder_and_to_one_in_it_count_nothing_twice(tmp_path, names):
    touch(tmp_path, "outside/deep/1.wav")
    (tmp_path / "set").mkdir()
    for name, folder in zip(names, ("outside", "outside/deep")):
        (tmp_path / "set" / name).symlink_to(tmp_path / folder)
    (problem,) = problems_of(tmp_path / "set", allow_outside=True)
    assert problem.endswith(": to a folder that is already listed")


def test_links_that_lead_round_end(linked):
    (linked.parent / "outside" / "back").symlink_to("../outside")
    (problem,) = problems_of(linked, allow_outside=True)
    assert problem == "link cow/back: to a folder that is already listed"
