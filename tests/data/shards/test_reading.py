import csv
import os
import shutil

import keras
import numpy as np
import pytest
import soundfile

from keras_asit.data import labelled_dataset, pretraining_dataset
from keras_asit.data.clips import ClipReader
from keras_asit.data.manifest_error import ManifestError
from keras_asit.data.shards.layout import INDEX
from keras_asit.data.shards.reading import ShardClips, Shards

SHORT = {"sample_rate": 8000, "features": "waveform"}


def batches(dataset):
    return [keras.ops.convert_to_numpy(batch) for batch in dataset]


def test_clips_are_those_of_the_files(write_shards):
    paths, folder = write_shards(7)
    shards = Shards(folder)
    assert (len(shards), shards.sample_rate) == (7, 8000)
    reader = ClipReader(ShardClips(shards, 8000), 8000)
    for clip, path in enumerate(paths):
        wave = soundfile.read(path, dtype="float32")[0]
        np.testing.assert_array_equal(reader.read(clip), wave)
        part = reader.attempt(clip, lambda clip: clip.part(100, 50), 50)
        np.testing.assert_array_equal(part, wave[100:150])
    assert len(ClipReader(ShardClips(shards, 16000), 16000).read(0)) == 8000
    assert shards.manifest.labels.tolist() == [f"class_{i % 2}" for i in range(7)]


def test_views_are_those_of_the_files(write_shards):
    """In the order of the files too where clips are read one by one."""
    paths, folder = write_shards(8)
    options = {"batch_size": 4, "crop_seconds": 0.25, "seed": 3, "cache": True, **SHORT}
    of_files, of_shards = (
        pretraining_dataset(source, **options) for source in (paths, folder)
    )
    for _ in range(2):
        np.testing.assert_array_equal(batches(of_files), batches(of_shards))


def test_a_clip_that_is_missing_moves_no_other(write_shards):
    """The random numbers of a clip are those of its number in the manifest."""
    paths, folder = write_shards(6, left_out=[2])
    options = {"batch_size": 1, "crop_seconds": 0.25, "shuffle": False, **SHORT}
    of_files = batches(pretraining_dataset(paths, **options))
    del of_files[2]
    of_shards = batches(pretraining_dataset(folder, cache=True, **options))
    np.testing.assert_array_equal(of_files, of_shards)


def test_labelled_clips(write_shards):
    _, folder = write_shards(5)
    dataset = labelled_dataset(folder, 2, seconds=0.25, **SHORT)
    targets = np.concatenate([keras.ops.convert_to_numpy(y) for _, y in dataset])
    assert targets.tolist() == [0, 1, 0, 1, 0]


def test_a_damaged_clip_is_passed_over(write_shards):
    _, folder = write_shards(20)
    shards = Shards(folder)
    table = shards.table
    with open(shards.files[table.shard[4]], "r+b") as file:
        file.seek(int(table.offset[4]) + 10)
        file.write(b"\x55\xaa\x55")
    reader = ClipReader(ShardClips(shards, 8000), 8000)
    assert reader.read(4) is None
    assert "its checksum differs" in reader.describe_failures()
    assert reader.read(5) is not None


def test_shards_that_are_missing_or_cut_are_listed(write_shards):
    _, folder = write_shards(9)
    first, second, _ = Shards(folder).files
    with open(first, "r+b") as file:
        file.truncate(100)
    folder.joinpath(second).unlink()
    with pytest.raises(ManifestError) as error:
        Shards(folder)
    assert [p.split(":")[0] for p in error.value.problems] == [
        "shard-00000-of-00003.tfrecord",
        "shard-00001-of-00003.tfrecord",
    ]


def test_a_folder_that_is_not_finished(write_shards):
    _, folder = write_shards(3)
    (folder / INDEX).unlink()
    (folder / "plan").mkdir()
    (folder / "plan" / "plan.json").touch()
    with pytest.raises(ManifestError, match=r"not finished\. Run asit shards again"):
        pretraining_dataset(folder, 1, **SHORT)
    (folder / INDEX).write_text("{}")
    with pytest.raises(ManifestError, match=r"Expected shards\.json"):
        Shards(folder)


def test_clips_that_lay_outside_the_folder_of_their_manifest(write_shards):
    """Their paths are names: the shards hold their samples."""
    _, folder = write_shards(3)
    table = folder / "clips.csv"
    table.write_text(table.read_text().replace("clip_001.wav", "/elsewhere/a.wav"))
    reader = ClipReader(ShardClips(Shards(folder), 8000), 8000)
    assert reader.read(1) is not None
    assert reader.clips.name(1) == "/elsewhere/a.wav"


def test_a_table_that_does_not_fit_is_refused(write_shards):
    _, folder = write_shards(4)
    table = folder / "clips.csv"
    text = table.read_text()
    for damaged, why in (
        ("\n".join(text.splitlines()[:-1]) + "\n", "has 3 clips, expected 4"),
        (text.replace("offset", "begin"), "damaged"),
        (text.replace(text.splitlines()[1].split(",")[-1], "9" * 30), "damaged"),
        (text.replace(text.splitlines()[1].split(",")[-1], "x"), "damaged"),
    ):
        table.write_text(damaged)
        with pytest.raises(ManifestError, match=why):
            labelled_dataset(folder, 2, seconds=0.25, **SHORT)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("clip", "1"),
        ("clip", "-1"),
        ("clip", "4"),
        ("shard", "9"),
        ("shard", "-1"),
        ("offset", "-5"),
        ("offset", "99999999"),
        ("samples", "-4"),
        ("samples", "99999999"),
    ],
)
def test_a_table_that_points_elsewhere_is_refused(write_shards, column, value):
    _, folder = write_shards(4)
    with open(folder / "clips.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    row = next(row for row in rows if row["clip"] == "2")
    row[column] = value
    with open(folder / "clips.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, row)
        writer.writeheader()
        writer.writerows(rows)
    with pytest.raises(ManifestError, match=rf"wav: there can be no clip.*{value}"):
        len(Shards(folder).manifest)


def test_a_class_called_plan_is_no_plan(write_clips, tmp_path):
    write_clips(1)
    for name in ("plan", "dog"):
        (tmp_path / "set" / name).mkdir(parents=True)
        shutil.copy(tmp_path / "clip_000.wav", tmp_path / "set" / name)
    dataset = pretraining_dataset(tmp_path / "set", 2, crop_seconds=0.25, **SHORT)
    assert len(batches(dataset)) == 1


def test_files_are_found_from_any_folder(write_shards, monkeypatch):
    """A worker of a tf.data service has a working directory of its own."""
    _, folder = write_shards(3)
    monkeypatch.chdir(folder.parent)
    shards = Shards(folder.name)
    monkeypatch.chdir("/")
    assert all(os.path.isfile(file) for file in shards.files)
    assert ClipReader(ShardClips(shards, 8000), 8000).read(0) is not None


@pytest.mark.parametrize("read", [Shards, lambda path: pretraining_dataset(path, 2)])
def test_addresses_are_refused(read):
    with pytest.raises(ValueError, match=r"address gs://b/shards\. Copy it to a disk"):
        read("gs://b/shards")


def test_shards_need_no_decoder(write_shards):
    _, folder = write_shards(4)
    with pytest.raises(ValueError, match=r"Expected files, the TensorFlow.*shards"):
        pretraining_dataset(folder, 2, sample_rate=8000, decoder="tensorflow-io")
