"""From a manifest to a finished folder of shards, whatever happens on the way."""

import csv
import errno
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from drivers.shard_files import SETTINGS, failures_of, files_of, run_of_beam
from keras_asit.data.clips import ClipReader, TooManyBrokenFiles
from keras_asit.data.manifest import Manifest
from keras_asit.data.shards import one_shard, running
from keras_asit.data.shards.layout import ShardIndex
from keras_asit.data.shards.reading import ShardClips, Shards
from keras_asit.data.shards.writing import write

pytestmark = pytest.mark.backend_free
pytest.importorskip("apache_beam")


def clips_of(folder):
    with open(folder / "clips.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_of_shards(write_manifest, tmp_path, monkeypatch, capfd):
    from apache_beam.runners.portability import prism_runner

    fetched = []
    monkeypatch.setattr(prism_runner, "PrismRunner", lambda: fetched.append(1))
    source, out = write_manifest(12, classes=3, broken=[5]), tmp_path / "out"
    index = write(source, out, max_failure_share=0.1, **SETTINGS)
    assert fetched == []  # it would come from the network
    assert index == ShardIndex.from_json((out / "shards.json").read_text())
    assert (index.clips, index.failures, index.sample_rate) == (11, 1, 8000)
    samples = {i: round((0.5 + 0.01 * i) * 8000) for i in range(12) if i != 5}
    assert index.seconds == sum(samples.values()) / 8000
    assert (index.shard_size, index.seed) == (30_000, 1)
    assert index.class_names == ["class_00", "class_01", "class_02"]
    assert len(index.shards) == 4
    for shard in index.shards:
        assert shard["bytes"] == (out / shard["name"]).stat().st_size
    rows = clips_of(out)
    assert {int(row["clip"]): int(row["samples"]) for row in rows} == samples
    assert [int(row["shard"]) for row in rows] == [
        i for i, shard in enumerate(index.shards) for _ in range(shard["clips"])
    ]
    assert list(failures_of(out)) == ["clip_005.wav"]
    assert {p.name for p in out.iterdir() if p.is_dir()} == {"plan"}
    err = capfd.readouterr().err
    assert "100%" in err and "WARNING" not in err, err

    before = files_of(out)
    monkeypatch.setattr(running, "run", run_of_beam)
    assert write(source, out, max_failure_share=0.1, **SETTINGS) == index
    assert files_of(out) == before


def test_what_is_written_can_be_read(write_manifest, tmp_path):
    source = write_manifest(5)
    write(source, tmp_path / "out", **SETTINGS)
    reader = ClipReader(ShardClips(Shards(tmp_path / "out"), 8000), 8000)
    for clip in range(5):
        wave, _ = soundfile.read(tmp_path / f"clip_{clip:03}.wav", dtype="float32")
        np.testing.assert_array_equal(reader.read(clip), wave)


def test_too_many_broken_clips_and_their_mending(write_manifest, tmp_path, monkeypatch):
    source, out = write_manifest(8, broken=[2, 6]), tmp_path / "out"
    with pytest.raises(TooManyBrokenFiles) as raised:
        write(source, out, **SETTINGS)
    assert "2 of 8 clips cannot be read, 25.0%, where up to 5.0% are" in str(
        raised.value
    )
    assert str(out / "failures.csv") in str(raised.value)
    assert sorted(failures_of(out)) == ["clip_002.wav", "clip_006.wav"]
    assert not (out / "shards.json").exists()

    written = []
    run = running.run

    def run_and_note(tasks, *others):
        assert not (out / "shards.json").exists()  # while the set is not whole
        written.append(tasks)
        run(tasks, *others)

    monkeypatch.setattr(running, "run", run_and_note)
    soundfile.write(tmp_path / "clip_002.wav", np.zeros(80), 8000)
    index = write(source, out, max_failure_share=0.2, **SETTINGS)
    ((task,),) = written  # only the shard of the clip that was mended
    (row,) = (row for row in clips_of(out) if row["path"] == "clip_002.wav")
    assert int(row["shard"]) == task[0]
    assert (index.clips, index.failures) == (7, 1)
    assert list(failures_of(out)) == ["clip_006.wav"]

    os.remove(out / index.shards[0]["name"])  # as who finds it damaged
    again = write(source, out, max_failure_share=0.2, **SETTINGS)
    assert again == index
    assert [len(tasks) for tasks in written] == [1, 1]


def test_a_part_of_a_manifest(write_clips, tmp_path):
    """With the classes of the whole, so that parts fit each other."""
    columns = {"split": ["train"] * 3 + ["test"] * 2, "fold": list("12312")}
    labels = [[f"class {i}"] for i in range(5)]
    clips = Manifest(write_clips(5), labels, columns=columns, root=tmp_path)
    where = {"split": "train", "fold": ["1", "3"]}
    write(clips, tmp_path / "out", where=where, **SETTINGS)
    shards = Shards(tmp_path / "out")
    assert list(shards.manifest.columns["fold"]) == ["1", "3"]
    assert shards.class_names == [f"class {i}" for i in range(5)]
    with pytest.raises(ValueError, match="another manifest"):
        write(clips, tmp_path / "out", **SETTINGS)


def test_full_disk(write_manifest, tmp_path, monkeypatch, capfd):
    from keras_asit.data.shards.records import RecordWriter

    source, out = write_manifest(8), tmp_path / "out"
    write_record, clips = RecordWriter.write, []

    def write_or_fail(self, *args, **kwargs):
        clips.append(1)
        if len(clips) > 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_record(self, *args, **kwargs)

    monkeypatch.setattr(RecordWriter, "write", write_or_fail)
    with pytest.raises(one_shard.ShardError) as raised:
        write(source, out, **SETTINGS)
    assert re.fullmatch(
        r"shard 1 cannot be written: \[Errno 28\] No space left on device. Mend this "
        "and run the same command again: what is finished is kept",
        str(raised.value),
    )
    assert "Traceback" not in capfd.readouterr().err
    assert len(list(out.glob("*.tfrecord"))) == 1
    assert list((out / "plan" / "unfinished").iterdir()) == []
    monkeypatch.undo()
    assert write(source, out, **SETTINGS).clips == 8


def test_folder_of_somebody_else_is_refused(write_manifest, tmp_path):
    source, out = write_manifest(2), tmp_path / "out"
    (out / "below").mkdir(parents=True)
    (out / "below" / "thesis.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"new or empty folder.*thesis\.txt"):
        write(source, out, **SETTINGS)
    assert [p.name for p in out.rglob("*")] == ["below", "thesis.txt"]


def test_plan_that_was_not_finished_is_drawn_anew(write_manifest, tmp_path):
    source, out = write_manifest(2), tmp_path / "out"
    (out / "plan" / "unfinished").mkdir(parents=True)
    (out / "plan" / "unfinished" / "0123").write_text("half")
    (out / "plan" / "rows.csv").write_text("half")
    assert write(source, out, **SETTINGS).clips == 2


@pytest.mark.parametrize(
    "changes", [{"seed": 2}, {"sample_rate": 16000}, {"shard_size": "1MB"}]
)
def test_other_settings_are_refused(write_manifest, tmp_path, monkeypatch, changes):
    source = write_manifest(2)
    monkeypatch.setattr(running, "run", lambda *arguments: None)
    with pytest.raises(one_shard.ShardError, match="1 of 1 shards are not written"):
        write(source, tmp_path / "out", **SETTINGS)
    with pytest.raises(ValueError, match="was begun with"):
        write(source, tmp_path / "out", **SETTINGS | changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"shard_size": "large"}, "Expected the size of a shard"),
        ({"sample_rate": 10}, "Expected sample_rate in Hz"),
        ({"sample_rate": 8000.5}, "Expected sample_rate in Hz"),
        ({"sample_rate": "8000"}, r"Expected sample_rate in Hz.*'8000'"),
        ({"seed": -1}, "Expected seed of 0 or more"),
        ({"seed": None}, "Expected seed of 0 or more.*None"),
        ({"max_failure_share": 5}, "Expected max_failure_share between 0 and 1"),
        ({"max_failure_share": None}, "Expected max_failure_share between 0 and 1"),
        ({"where": {"fold": "1"}}, "Expected one of .*Received: 'fold'"),
        ({"pipeline_options": ["--quiet"]}, "Received: --quiet"),
        ({"source": ["a.wav"], "labels": ["a"]}, "labels and root only with"),
        ({"source": "absent.csv"}, "no such file"),
    ],
)
def test_wrong_arguments(write_manifest, tmp_path, changes, said):
    arguments = {"source": write_manifest(2), "out": tmp_path / "out", **SETTINGS}
    with pytest.raises(ValueError, match=said):
        write(**arguments | changes)
    assert not (tmp_path / "out").exists()


def test_without_beam(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(ImportError, match=r"pip install 'keras-asit\[shards\]'"):
        write("manifest.csv", tmp_path / "out")


@pytest.fixture
def bucket(tmp_path):
    """A folder that Beam finds at `bucket://`: a storage that is no disk."""
    from apache_beam.io.filesystem import FileMetadata
    from apache_beam.io.localfilesystem import LocalFileSystem

    folder = tmp_path / "bucket"

    class Bucket(LocalFileSystem):
        def _at(self, paths):
            if isinstance(paths, list):
                return [self._at(path) for path in paths]
            assert paths.startswith("bucket://")
            return f"{folder}/{paths.removeprefix('bucket://')}"

        @classmethod
        def scheme(cls):
            return "bucket"

        def _list(self, path):
            for file in filter(Path.is_file, Path(self._at(path)).rglob("*")):
                address = f"bucket://{file.relative_to(folder).as_posix()}"
                yield FileMetadata(address, file.stat().st_size)

        def _path_open(self, path, *arguments, **keywords):
            return super()._path_open(self._at(path), *arguments, **keywords)

        def create(self, path, *arguments, **keywords):
            os.makedirs(os.path.dirname(self._at(path)), exist_ok=True)
            return self._path_open(path, "wb", *arguments, **keywords)

        def mkdirs(self, path):
            os.makedirs(self._at(path))

        def rename(self, sources, targets):
            super().rename(self._at(sources), self._at(targets))

        def exists(self, path):
            return os.path.exists(self._at(path))

        def metadata(self, path):
            return FileMetadata(path, os.path.getsize(self._at(path)))

        def delete(self, patterns):
            for result in self.match(patterns):
                for file in result.metadata_list:
                    os.remove(self._at(file.path))

    yield folder
    del Bucket  # Beam knows it for as long as there is a name of it


def test_storage_that_is_no_disk(bucket, write_manifest, tmp_path):
    """Audio and shards both at an address, as for workers in a cloud."""
    audio = bucket / "audio"
    audio.mkdir(parents=True)
    source = write_manifest(6, broken=[1])
    settings = SETTINGS | {"max_failure_share": 0.2}
    here = write(source, tmp_path / "here", **settings)
    for clip in tmp_path.glob("*.wav"):
        clip.rename(audio / clip.name)
    out = "bucket://some/out"
    with pytest.raises(TooManyBrokenFiles, match="6 of 6"):
        write(source, "bucket://some/first", **settings)
    there = write(source, out, root="bucket://audio/", **settings)
    assert there.clips == here.clips == 5
    at_home = {row["clip"]: row["crc32"] for row in clips_of(tmp_path / "here")}
    away = {row["clip"]: row["crc32"] for row in clips_of(bucket / "some" / "out")}
    assert away == at_home
