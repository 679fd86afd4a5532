"""The same call for a folder that is finished: what is looked at, and tried again."""

import os

import pytest

from drivers.shard_files import SETTINGS, failures_of, files_of, run_of_beam
from keras_asit.data.clips import TooManyBrokenFiles
from keras_asit.data.manifest import Manifest
from keras_asit.data.shards import one_shard, running
from keras_asit.data.shards.writing import write

pytestmark = pytest.mark.backend_free
pytest.importorskip("apache_beam")


def test_clips_are_tried_again_whatever_their_files_say(
    write_manifest, tmp_path, monkeypatch
):
    """A machine's fault passes without a trace; a copy keeps the original's time."""
    source, out = write_manifest(8, broken=[2]), tmp_path / "out"
    settings = SETTINGS | {"max_failure_share": 0.5}
    read = one_shard.read

    def read_or_fail(path, sample_rate):
        if path.endswith("clip_005.wav"):
            raise MemoryError
        return read(path, sample_rate=sample_rate)

    monkeypatch.setattr(one_shard, "read", read_or_fail)
    assert write(source, out, **settings).failures == 2
    monkeypatch.undo()
    assert write(source, out, **settings).failures == 1
    clip = tmp_path / "clip_002.wav"
    before = clip.stat()
    clip.write_bytes((tmp_path / "clip_003.wav").read_bytes())
    os.truncate(clip, before.st_size)  # of the same size, "not audio" still
    os.utime(clip, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert write(source, out, **settings).failures == 1
    clip.write_bytes((tmp_path / "clip_003.wav").read_bytes())
    os.utime(clip, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert write(source, out, **settings).failures == 0
    assert failures_of(out) == {}


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs symbolic links")
def test_clips_behind_links_are_read_once_that_is_allowed(write_clips, tmp_path):
    paths, inside, out = write_clips(2), tmp_path / "inside", tmp_path / "out"
    inside.mkdir()
    os.symlink(paths[0], inside / "0.wav")
    os.rename(paths[1], inside / "1.wav")
    clips = [str(inside / "0.wav"), str(inside / "1.wav")]
    settings = SETTINGS | {"max_failure_share": 0.5}
    for allow_outside, failures in ((False, 1), (True, 0)):
        manifest = Manifest(clips, root=inside, allow_outside=allow_outside)
        assert write(manifest, out, **settings).failures == failures


def test_finished_folder_is_looked_at_again(write_manifest, tmp_path, monkeypatch):
    source, out = write_manifest(8, broken=[2]), tmp_path / "out"
    index = write(source, out, max_failure_share=0.5, **SETTINGS)
    before = files_of(out)
    monkeypatch.setattr(running, "run", run_of_beam)
    for name in ("clips.csv", "failures.csv", "shards.json"):
        (out / name).unlink()
        assert write(source, out, max_failure_share=0.5, **SETTINGS) == index
        assert files_of(out) == before
    with pytest.raises(TooManyBrokenFiles):
        write(source, out, max_failure_share=0.1, **SETTINGS)
    assert not (out / "shards.json").exists()


@pytest.mark.parametrize("name", ["shard-00001.json", "shard-00001.csv"])
def test_damaged_or_missing_entry(write_manifest, tmp_path, name):
    source, out = write_manifest(8), tmp_path / "out"
    write(source, out, **SETTINGS)
    before, entry = files_of(out), out / "plan" / "done" / name
    if name.endswith(".json"):
        entry.write_text("")
    else:
        entry.unlink()
    write(source, out, **SETTINGS)
    assert files_of(out) == before


def test_clips_of_another_folder_do_not_mix(write_manifest, tmp_path):
    source, out = write_manifest(2), tmp_path / "out"
    write(source, out, **SETTINGS)
    (tmp_path / "other").mkdir()
    with pytest.raises(ValueError, match=r"was begun with clips in .*, not .*other"):
        write(source, out, root=tmp_path / "other", **SETTINGS)
