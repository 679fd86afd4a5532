"""Files come into being whole or not at all, whatever a folder is called."""

import errno

import pytest

from keras_asit.data.shards.output import OutputFolder

pytestmark = pytest.mark.backend_free
filesystems = pytest.importorskip("apache_beam.io.filesystems")


@pytest.fixture(params=["out", "a [b] *c? é"])
def folder(tmp_path, request):
    return OutputFolder(tmp_path / request.param)


def files_below(folder):
    return sorted(name.replace("\\", "/") for name in folder.first_files(100))


def test_files_are_written_listed_and_removed(folder):
    assert folder.sizes() == {} and folder.first_files(10) == []
    folder.write("one.txt", "ä")
    folder.make("plan/done")
    folder.make("plan/done")
    folder.write("plan/done/two.txt", "")
    folder.write("one.txt", "äb")  # again
    assert folder.sizes() == {"one.txt": 3}
    assert folder.sizes("plan/done") == {"two.txt": 0}
    assert files_below(folder) == ["one.txt", "plan/done/two.txt"]
    assert folder.read("one.txt").decode() == "äb"
    assert list(folder.read_all(["one.txt"] * 70)) == ["äb".encode()] * 70
    assert (folder.size("one.txt"), folder.size("absent")) == (3, None)
    folder.remove("one.txt")
    folder.remove("one.txt")
    assert folder.exists("plan/done/two.txt") and not folder.exists("one.txt")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_of_what_was_not_finished(folder, error):
    folder.write("one.txt", "before")
    with pytest.raises(error), folder.writing("one.txt") as file:
        file.write(b"half")
        raise error
    assert folder.read("one.txt") == b"before"
    assert files_below(folder) == ["one.txt"]


def test_what_a_killed_process_left_is_removed(folder):
    folder.write("plan/unfinished/0123", "half")
    folder.remove_unfinished()
    assert files_below(folder) == []


def test_storage_that_does_not_replace_files(folder, monkeypatch):
    rename = filesystems.FileSystems.rename

    def rename_to_new_names(sources, targets):
        if filesystems.FileSystems.exists(targets[0]):
            raise OSError(errno.EEXIST, "exists")
        rename(sources, targets)

    monkeypatch.setattr(filesystems.FileSystems, "rename", rename_to_new_names)
    folder.write("one.txt", "1")
    folder.write("one.txt", "2")
    assert folder.read("one.txt") == b"2"
    with pytest.raises(OSError):
        folder.write("no/such/folder/one.txt", "3")
    assert files_below(folder) == ["one.txt"]


def test_addresses_are_kept_and_paths_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert OutputFolder("gs://bucket/x/").full("a") == "gs://bucket/x/a"
    assert OutputFolder("x").path == str(tmp_path / "x")
