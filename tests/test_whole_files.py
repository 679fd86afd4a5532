import errno
import os
import stat
from contextlib import nullcontext

import pytest

from keras_asit import whole_files

pytestmark = pytest.mark.backend_free


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_takes_its_name_when_it_is_whole(tmp_path, monkeypatch, durable):
    path, synced = tmp_path / "file", []
    path.write_text("old")
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(file), sync(file)))
    with whole_files.replacing(path, durable=durable) as part:
        with open(part, "w") as file:
            file.write("new")
        assert path.read_text() == "old"
        assert os.path.dirname(part) == str(tmp_path)
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["file"]
    assert len(synced) == 2 * durable  # the file, then the folder


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_after_an_error(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")
    for write_first in (True, False):
        with pytest.raises(error), whole_files.replacing(path) as part:
            if write_first:
                with open(part, "w") as file:
                    file.write("half of")
            raise error
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EIO])
def test_a_file_system_without_fsync_of_folders(tmp_path, monkeypatch, number):
    sync = os.fsync

    def refuse_folders(file):
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(number, os.strerror(number))
        sync(file)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    refused = pytest.raises(OSError) if number == errno.EIO else nullcontext()
    with refused, whole_files.replacing(tmp_path / "file", durable=True) as part:
        with open(part, "w") as file:
            file.write("new")
    assert (tmp_path / "file").read_text() == "new"


def test_a_file_in_the_folder_in_use(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with whole_files.replacing("file", part="other", durable=True) as part:
        assert part == "other"
        with open(part, "w") as file:
            file.write("new")
    assert os.listdir() == ["file"]
