"""The work on one shard: its bytes, its entry, and what may go wrong meanwhile."""

import csv
import errno
import io
import json
import os
import zlib

import numpy as np
import pytest
import soundfile

from keras_asit.data.manifest import Manifest
from keras_asit.data.shards import one_shard, plan
from keras_asit.data.shards.output import OutputFolder

pytestmark = pytest.mark.backend_free
filesystems = pytest.importorskip("apache_beam.io.filesystems")

RATE = 8000  # of the clips, so that nothing is resampled
SHARD = "shard-00000-of-00001.tfrecord"


@pytest.fixture
def folder(tmp_path):
    folder = OutputFolder(tmp_path / "out")
    folder.make(one_shard.DONE)
    return folder


@pytest.fixture
def begin(tmp_path, folder):
    """A function that plans one shard: its task and its job."""

    def begin(paths, labels=None, allow_outside=True, root=None):
        root = str(tmp_path if root is None else root)
        labels = [()] * len(paths) if labels is None else labels
        clips = Manifest([str(p) for p in paths], labels, root=root)
        made = plan.make_plan(clips, folder, RATE, 10**9, seed=0)
        job = one_shard.Job(folder, root, allow_outside, RATE, made.class_names, 1)
        return (0, *made.starts), job

    return begin


def entry_of(folder):
    return json.loads(folder.read("plan/done/shard-00000.json"))


def rows_of(folder):
    text = folder.read("plan/done/shard-00000.csv").decode()
    return list(csv.reader(io.StringIO(text, newline="")))


def test_16_bit_samples_come_back_bit_by_bit():
    every = np.arange(-32768, 32768, dtype="int16")
    assert one_shard.to_pcm(every / 32768) == every.astype("<i2").tobytes()


def test_samples_are_rounded_and_clipped():
    wave = np.array([1.0, -1.0, 1.5, -1.5, 0.4 / 32768, 0.6 / 32768, -0.6 / 32768])
    pcm = np.frombuffer(one_shard.to_pcm(wave), "<i2")
    assert pcm.tolist() == [32767, -32768, 32767, -32768, 0, 1, -1]


def test_samples_lie_where_the_rows_say(begin, folder, write_clips):
    paths = write_clips(5)
    task, job = begin(paths, [["a"], ["b", "ä"], [], ["a"], ["b"]])
    assert one_shard.write_shard(task, job) == 0
    data, rows = folder.read(SHARD), rows_of(folder)
    assert entry_of(folder) == {
        "bytes": len(data),
        "clips": 5,
        "samples": sum(round((0.5 + 0.01 * i) * RATE) for i in range(5)),
        "failures": [],
    }
    assert len(rows) == 5
    for path, labels, clip, shard, offset, samples, crc32 in rows:
        clip, offset, samples = int(clip), int(offset), int(samples)
        pcm = data[offset : offset + 2 * samples]
        expected, _ = soundfile.read(paths[clip], dtype="int16")
        np.testing.assert_array_equal(np.frombuffer(pcm, "<i2"), expected)
        assert zlib.crc32(pcm) == int(crc32)
        assert path == os.path.basename(paths[clip])
        assert labels == ["a", "b;ä", "", "a", "b"][clip]
        assert shard == "0"


def test_records_are_those_that_tensorflow_reads(begin, folder, write_clips):
    tf = pytest.importorskip("tensorflow")
    paths = write_clips(3)
    one_shard.write_shard(*begin(paths, [["a"], ["b", "ä"], []]))
    found = {}
    for record in tf.data.TFRecordDataset(folder.full(SHARD)):
        features = tf.io.parse_single_example(
            record,
            {
                "audio": tf.io.FixedLenFeature((), tf.string),
                "path": tf.io.FixedLenFeature((), tf.string),
                "clip": tf.io.FixedLenFeature((), tf.int64),
                "labels": tf.io.VarLenFeature(tf.string),
                "label_ids": tf.io.VarLenFeature(tf.int64),
            },
        )
        clip = int(features["clip"])
        expected, _ = soundfile.read(paths[clip], dtype="int16")
        decoded = tf.io.decode_raw(features["audio"], tf.int16)
        np.testing.assert_array_equal(decoded.numpy(), expected)
        assert features["path"].numpy().decode() == os.path.basename(paths[clip])
        names = [name.decode() for name in features["labels"].values.numpy()]
        found[clip] = names, features["label_ids"].values.numpy().tolist()
    assert found == {0: (["a"], [0]), 1: (["b", "ä"], [1, 2]), 2: ([], [])}


def test_other_rates_are_resampled(begin, folder, tmp_path):
    wave = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000) / 2
    soundfile.write(tmp_path / "tone.wav", wave, 16000)
    one_shard.write_shard(*begin([tmp_path / "tone.wav"]))
    ((_, _, _, _, offset, samples, _),) = rows_of(folder)
    pcm = np.frombuffer(folder.read(SHARD), "<i2", int(samples), int(offset)) / 32768
    expected = np.sin(2 * np.pi * 440 * np.arange(8000) / 8000) / 2
    assert samples == "8000"
    np.testing.assert_allclose(pcm[200:-200], expected[200:-200], atol=1e-3)


def test_broken_clips_are_noted(begin, folder, write_clips, tmp_path):
    paths = write_clips(4, broken=[1, 2])
    os.remove(paths[2])
    one_shard.write_shard(*begin(paths))
    entry = entry_of(folder)
    assert entry["clips"] == 2
    broken = sorted(entry["failures"], key=lambda failure: failure["path"])
    assert [failure["path"] for failure in broken] == ["clip_001.wav", "clip_002.wav"]
    assert "is text" in broken[0]["reason"]
    assert "does not exist" in broken[1]["reason"]
    assert sorted(row[0] for row in rows_of(folder)) == ["clip_000.wav", "clip_003.wav"]


def test_whatever_a_decoder_raises_is_noted(begin, folder, write_clips, monkeypatch):
    def fail(path, sample_rate):
        raise RuntimeError("in the depths")

    monkeypatch.setattr(one_shard, "read", fail)
    one_shard.write_shard(*begin(write_clips(2)))
    reasons = [failure["reason"] for failure in entry_of(folder)["failures"]]
    assert reasons == ["cannot be read: RuntimeError('in the depths')"] * 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        '{"bytes": 0, "clips": 0, "samples": 0}',
        '{"bytes": 0, "clips": "0", "samples": 0, "failures": []}',
        '{"bytes": 0, "clips": 0, "samples": 0, "failures": [{"path": "a"}]}',
    ],
)
def test_shard_with_a_damaged_entry_is_not_finished(begin, folder, write_clips, text):
    task, job = begin(write_clips(2))
    one_shard.write_shard(task, job)
    entry = entry_of(folder)
    folder.write("plan/done/shard-00000.json", text)
    assert not one_shard.is_finished(folder, 0, 1)
    one_shard.write_shard(task, job)
    assert entry_of(folder) == entry


def test_clip_that_no_record_can_hold(begin, folder, write_clips, monkeypatch):
    monkeypatch.setattr(one_shard, "MOST_BYTES", 8000)
    one_shard.write_shard(*begin(write_clips(2)))  # 8,000 and 8,160 bytes
    assert entry_of(folder)["clips"] == 1
    assert "too long for a record" in entry_of(folder)["failures"][0]["reason"]


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="needs symbolic links")
def test_links_that_leave_the_folder_are_refused(begin, folder, write_clips, tmp_path):
    inside = tmp_path / "inside"
    inside.mkdir()
    (path,) = write_clips(1)
    os.symlink(path, inside / "1.wav")
    task, job = begin([inside / "1.wav"], allow_outside=False, root=inside)
    one_shard.write_shard(task, job)
    assert "lies outside" in entry_of(folder)["failures"][0]["reason"]


def test_shard_without_a_clip(begin, folder, write_clips):
    one_shard.write_shard(*begin(write_clips(2, broken=[0, 1])))
    assert folder.size(SHARD) == 0
    assert rows_of(folder) == []


def test_asked_twice_it_writes_once(begin, folder, write_clips, monkeypatch):
    task, job = begin(write_clips(2))
    one_shard.write_shard(task, job)
    before = os.stat(folder.full(SHARD)).st_mtime_ns
    one_shard.write_shard(task, job)
    assert os.stat(folder.full(SHARD)).st_mtime_ns == before
    assert one_shard.is_finished(folder, 0, 1)


def test_written_again_it_is_the_same(begin, folder, write_clips):
    """As a runner does that lost the answer, or two that work at the same time."""
    task, job = begin(write_clips(3, broken=[1]))
    one_shard.write_shard(task, job)
    names = (SHARD, "plan/done/shard-00000.csv", "plan/done/shard-00000.json")
    before = [folder.read(name) for name in names]
    folder.remove("plan/done/shard-00000.json")
    one_shard.write_shard(task, job)
    assert [folder.read(name) for name in names] == before


def test_shard_that_was_cut_short_is_written_again(begin, folder, write_clips):
    task, job = begin(write_clips(2))
    one_shard.write_shard(task, job)
    whole = folder.read(SHARD)
    with open(folder.full(SHARD), "wb") as file:
        file.write(whole[:-1])
    assert not one_shard.is_finished(folder, 0, 1)
    one_shard.write_shard(task, job)
    assert folder.read(SHARD) == whole


@pytest.mark.parametrize("room", [0, 100, 9000, 16_500])
def test_full_disk_leaves_nothing_that_looks_whole(
    begin, folder, write_clips, monkeypatch, room
):
    """Room for nothing, a part of a clip, one clip, and both clips but no more."""
    task, job = begin(write_clips(2))
    create, left = filesystems.FileSystems.create, [room]

    def create_on_a_small_disk(*args, **kwargs):
        file = create(*args, **kwargs)
        write = file.write

        def write_if_there_is_room(data):
            left[0] -= len(data)
            if left[0] < 0:
                write(data[: len(data) // 2])
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(data)

        return _Proxy(file, write_if_there_is_room)

    monkeypatch.setattr(filesystems.FileSystems, "create", create_on_a_small_disk)
    with pytest.raises(one_shard.ShardError, match=r"shard 0 cannot.*No space left"):
        one_shard.write_shard(task, job)
    assert not one_shard.is_finished(folder, 0, 1)
    assert folder.sizes("plan/unfinished") == {}
    monkeypatch.undo()
    one_shard.write_shard(task, job)
    assert entry_of(folder)["clips"] == 2


class _Proxy:
    def __init__(self, file, write):
        self.file, self.write = file, write

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()
