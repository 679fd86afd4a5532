"""How the main job splits clips, and the model that it fits to them."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from keras_asit import data, quickstart, training
from keras_asit.data import synthetic
from keras_asit.quickstart import clips


def write_manifest(path, rows, columns="path,label,split"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([columns, *(",".join(row) for row in rows)]) + "\n")
    return str(path)


def load_task(**settings):
    return clips.load_task(quickstart.Settings(**settings))


def names(paths):
    return [Path(path).name for path in paths]


# How clips are split. The clips need not be there for that.


@pytest.fixture
def folds(tmp_path):
    rows = [(f"{i}.wav", "ab"[i % 2], str(i // 2 + 1)) for i in range(6)]
    rows.append(("unfolded.wav", "a", ""))
    return write_manifest(tmp_path / "folds.csv", rows, "path,label,fold")


def test_a_fold_is_held_out(folds):
    task = load_task(data=folds, fold="2")
    assert names(task.test.paths) == ["2.wav", "3.wav"]
    assert names(task.train.paths) == ["0.wav", "1.wav", "4.wav", "5.wav"]
    assert names(task.pretraining) == names(task.train.paths)
    assert task.held_out == "fold 2"


def test_an_unknown_fold(folds):
    with pytest.raises(ValueError, match=r"folds \['1', '2', '3'\]; received fold '7'"):
        load_task(data=folds, fold="7")


@pytest.fixture
def splits(tmp_path):
    rows = [
        ("a.wav", "dog", "train"),
        ("b.wav", "rain", "train"),
        ("c.wav", "dog", "test"),
        ("d.wav", "rain", "test"),
        ("e.wav", "", "unlabelled"),
        ("f.wav", "", "pretrain"),
        ("g.wav", "dog", "validation"),
    ]
    return write_manifest(tmp_path / "set" / "manifest.csv", rows)


def test_a_split_is_held_out(splits):
    task = load_task(data=splits)
    assert names(task.test.paths) == ["c.wav", "d.wav"]
    assert names(task.train.paths) == ["a.wav", "b.wav"]
    assert names(task.pretraining) == ["a.wav", "b.wav", "e.wav", "f.wav"]
    assert task.held_out == "test split"


def test_neither_folds_nor_splits(tmp_path):
    manifest = write_manifest(tmp_path / "m.csv", [("a.wav", "dog")], "path,label")
    with pytest.raises(ValueError, match="needs a column fold, or a column split"):
        load_task(data=manifest)


def test_one_fold_leaves_nothing_to_train_with(tmp_path):
    rows = [("a.wav", "dog", "1"), ("b.wav", "cat", "1")]
    manifest = write_manifest(tmp_path / "m.csv", rows, "path,label,fold")
    with pytest.raises(ValueError, match=r"two folds or more; .* only '1'"):
        load_task(data=manifest)


def test_clips_without_any_label(tmp_path):
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).touch()
    with pytest.raises(ValueError, match=r"received 2 without a label\. Put"):
        load_task(data=str(tmp_path))


@pytest.mark.parametrize(
    ("rows", "received"),
    [
        ("a,dog,1 b,dog,1 c,dog,2", r"the classes \['dog'\] and 1 held out \(fold 2"),
        ("a,dog,1 b,cat,1 c,,2", r"\['cat', 'dog'\] and 0 held out \(fold 2\)"),
    ],
)
def test_nothing_to_compare(tmp_path, rows, received):
    rows = [row.split(",") for row in rows.split()]
    manifest = write_manifest(tmp_path / "m.csv", rows, "path,label,fold")
    with pytest.raises(ValueError, match=received):
        load_task(data=manifest, fold="2")


def test_unlabelled_clips_of_folds_are_for_pretraining_but_the_held_out(tmp_path):
    rows = ["a,dog,1", "b,cat,1", "c,,1", "d,dog,2", "e,,2", "f,,"]
    rows = [row.split(",") for row in rows]
    manifest = write_manifest(tmp_path / "m.csv", rows, "path,label,fold")
    task = load_task(data=manifest, fold="2")
    assert names(task.train.paths) == ["a", "b"]
    assert names(task.test.paths) == ["d"]
    assert names(task.pretraining) == ["a", "b", "c", "f"]


def test_without_a_manifest_clips_are_generated(tmp_path, monkeypatch):
    """Beside the run's folder, and not again by the next run."""
    monkeypatch.setattr(clips, "GENERATED", {"train": 2, "test": 1})
    out = tmp_path / "runs" / "first"
    task = load_task(out=str(out))
    assert not out.exists()
    assert (len(task.train), len(task.test)) == (24, 12)
    assert set(task.test.labels) == set(synthetic.CLASS_NAMES)
    assert set(task.pretraining) == set(task.train.paths)
    wave, _ = soundfile.read(task.train.paths[0])
    assert np.abs(wave).max() > 0.01
    written = [Path(path).stat().st_mtime_ns for path in task.train.paths]
    again = load_task(out=str(tmp_path / "runs" / "second"))
    assert list(again.train.paths) == list(task.train.paths)
    assert [Path(path).stat().st_mtime_ns for path in again.train.paths] == written


def test_a_split_without_test(tmp_path):
    manifest = write_manifest(tmp_path / "m.csv", [("a.wav", "dog", "train")])
    with pytest.raises(ValueError, match=r"and the splits \['train'\]"):
        load_task(data=manifest)


def test_further_clips_are_for_pretraining_only(splits, tmp_path):
    more = write_manifest(tmp_path / "x" / "m.csv", [("x.wav",), ("y.wav",)], "path")
    task = load_task(data=splits, unlabelled=(more,))
    assert names(task.pretraining)[-2:] == ["x.wav", "y.wav"]
    assert names(task.train.paths) == ["a.wav", "b.wav"]
    assert task.train.class_names == ["dog", "rain"]


def test_no_held_out_clip_is_pretrained_on(splits, tmp_path):
    """Not by the same manifest, another one, or under another name."""
    (tmp_path / "set" / "c.wav").touch()
    (tmp_path / "link.wav").symlink_to(tmp_path / "set" / "c.wav")
    paths = [("set/c.wav",), ("./set/../set/d.wav",), ("link.wav",), ("new.wav",)]
    more = write_manifest(tmp_path / "all.csv", paths, "path")
    task = load_task(data=splits, unlabelled=(more, splits))
    real = {os.path.realpath(path) for path in task.pretraining}
    assert not real & {os.path.realpath(path) for path in task.test.paths}
    assert sorted(Path(path).stem for path in real) == [*"abefg", "new"]
    assert len(real) == len(task.pretraining), "a clip counts once"


def test_a_class_without_a_clip_to_train_with(tmp_path):
    rows = [("a.wav", "dog", "train"), ("b.wav", "cat", "train")]
    rows += [("c.wav", "dog", "test"), ("d.wav", "rain", "test")]
    task = load_task(data=write_manifest(tmp_path / "m.csv", rows))
    assert clips.missing_classes(task) == ["rain"]
    assert task.train.class_names == ["cat", "dog", "rain"]
    assert list(clips.few_labels(task.train, 3, seed=0).labels) == ["dog", "cat"]


def test_clips_with_several_labels(tmp_path):
    rows = [("a.wav", "dog;rain", "train"), ("b.wav", "dog", "test")]
    with pytest.raises(ValueError, match="Expected one label a clip"):
        load_task(data=write_manifest(tmp_path / "m.csv", rows))


@pytest.fixture
def unequal():
    """2, 5 and 9 clips of three classes."""
    labels = ["a"] * 2 + ["b"] * 5 + ["c"] * 9
    return data.Manifest([f"{i}.wav" for i in range(16)], [(n,) for n in labels])


def test_few_labels_of_each_class(unequal):
    few = clips.few_labels(unequal, 4, seed=0)
    assert list(few.labels) == ["a"] * 2 + ["b"] * 4 + ["c"] * 4
    assert len(set(few.paths)) == len(few)
    assert few.class_names == unequal.class_names


def test_few_labels_follow_the_seed(unequal):
    def drawn(seed):
        return tuple(clips.few_labels(unequal, 4, seed).paths)

    assert drawn(0) == drawn(0)
    assert len({drawn(seed) for seed in range(5)}) > 1


def test_all_labels(unequal):
    assert clips.few_labels(unequal, 0, seed=0) is unequal


@pytest.mark.parametrize(
    ("seconds", "rate", "crop_seconds", "model_rate"),
    [
        (0.1, 8000, 0.4, 8000),
        (1.0, 44100, 0.8, 16000),
        (3.0, 16000, 1.0, 16000),
        (15.0, 11025, 4.0, 11025),
    ],
)
def test_the_model_fits_the_clips(tmp_path, seconds, rate, crop_seconds, model_rate):
    for i in range(3):
        wave = np.zeros(round(rate * (seconds if i else 30.0)))
        soundfile.write(tmp_path / f"{i}.flac", wave, rate)
    (tmp_path / "broken.flac").touch()
    model = clips.model_for(data.read_manifest(tmp_path))
    assert model == training.SmallModel(model_rate, crop_seconds)


# Clips without folds and splits, and real ones.


@pytest.fixture
def class_folders(tmp_path):
    """Folders of 11, 2 and 1 clips, and a clip in none."""
    paths = [
        f"{name}/{i:02}.wav" for name, n in zip("abc", (11, 2, 1)) for i in range(n)
    ]
    for path in [*paths, "unlabelled.wav"]:
        (tmp_path / "set" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / path).touch()
    return str(tmp_path / "set")


def test_a_fifth_of_each_class_folder_is_held_out(class_folders):
    task = load_task(data=class_folders)
    assert list(task.test.labels) == ["a", "a", "b"]
    assert list(task.train.labels) == ["a"] * 9 + ["b", "c"]
    assert not set(task.train.paths) & set(task.test.paths)
    unlabelled = str(Path(class_folders) / "unlabelled.wav")
    assert set(task.pretraining) == {*task.train.paths, unlabelled}
    assert task.held_out == "a fifth of each class"
    again = load_task(data=class_folders, seed=1)
    assert list(again.test.paths) == list(task.test.paths), "the same whatever the seed"


def test_empty_folds_and_splits_are_none(tmp_path):
    rows = [(f"{i}.wav", "ab"[i % 2], "", "") for i in range(20)]
    manifest = write_manifest(tmp_path / "m.csv", rows, "path,label,fold,split")
    task = load_task(data=manifest)
    assert (len(task.train), len(task.test)) == (16, 4)


@pytest.mark.parametrize(
    ("name", "train", "test", "model"),
    [
        ("esc10", 320, 80, training.SmallModel(16000, 1.7)),
        ("fsdd", 2700, 300, training.SmallModel(8000, 0.4)),
    ],
)
def test_real_manifests(data_root, name, train, test, model):
    task = load_task(data=str(data_root / name / "manifest.csv"))
    assert (len(task.train), len(task.test)) == (train, test)
    assert len(task.pretraining) == train
    real = {os.path.realpath(path) for path in task.pretraining}
    assert real == {os.path.realpath(path) for path in task.train.paths}
    assert not real & {os.path.realpath(path) for path in task.test.paths}
    assert clips.missing_classes(task) == []
    assert clips.model_for(task.train) == model
