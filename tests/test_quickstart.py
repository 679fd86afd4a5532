"""The main job: how it splits clips, what it leaves behind, what it says."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile

from keras_asit import cli, data, models, presets, quickstart, training
from keras_asit.data import synthetic
from keras_asit.quickstart import clips, folder, job
from tiny_asit import values

ROOT = Path(__file__).resolve().parent.parent
BACKEND = keras.backend.backend()

LAST_LINE = re.compile(
    r"held-out accuracy: scratch \d+\.\d %, pretrained \d+\.\d %, chance \d+\.\d %"
)
TINY_MODEL = {"num_frames": 32, "num_mel_bins": 32, "hidden_dim": 16, "num_layers": 1}
TINY_RUN = ["--steps", "3", "--fine-tuning-steps", "2", "--seed", "1"]


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


def test_an_existing_folder_is_not_overwritten(tmp_path):
    assert folder.new_folder(tmp_path / "run") == tmp_path / "run"
    assert folder.new_folder(f"{tmp_path}/run/") == tmp_path / "run", "it is empty"
    (tmp_path / "run" / "results.json").touch()
    assert folder.new_folder(f"{tmp_path}/run/") == tmp_path / "run-2"
    (tmp_path / "run-2" / "results.json").touch()
    assert folder.new_folder(tmp_path / "run") == tmp_path / "run-3"


def test_the_last_line_has_the_form_that_others_read():
    accuracy = {"scratch": 52.083, "pretrained": 61.25}
    line = quickstart.last_line({"accuracy": accuracy, "chance": 10})
    assert line == (
        "held-out accuracy: scratch 52.1 %, pretrained 61.2 %, chance 10.0 %"
    )


def test_the_floor_is_a_linear_probe_of_log_mel_statistics(tmp_path):
    """Of whole clips; one is shorter than a frame."""
    rng = np.random.default_rng(0)
    for i in range(8):
        wave = rng.normal(0, 0.01 if i % 2 else 0.2, (100, 4000, 9000)[min(i, 2)])
        soundfile.write(tmp_path / f"{i}.wav", np.clip(wave, -1, 1), 8000)
    paths = [str(tmp_path / f"{i}.wav") for i in range(8)]
    manifest = data.Manifest(paths, [("loud",), ("quiet",)] * 4)
    frontend = training.SmallModel(8000, 0.4, **TINY_MODEL).frontend()
    train, test = manifest.take(range(2, 8)), manifest.take([0, 1])
    assert job.floor_accuracy(train, test, frontend) in (0.5, 1.0)
    assert job.floor_accuracy(train, train, frontend) == 1.0


# A whole run, once, and what is left of it.


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Twelve classes of sound events; one file to train with is broken."""
    made = tmp_path_factory.mktemp("sounds")
    splits = {"train": 3, "test": 1}
    manifest = synthetic.write_dataset(
        made, unlabelled=4, sample_rate=8000, seconds=0.5, splits=splits
    )
    broken = Path(data.read_manifest(manifest).paths[5])
    broken.write_text("not audio")
    return types.SimpleNamespace(manifest=manifest, broken=broken)


@pytest.fixture(scope="module")
def finished(sounds, tmp_path_factory):
    """A run through the program, with a network small enough for tests."""
    out = tmp_path_factory.mktemp("runs") / "first"
    arguments = ["--data", sounds.manifest, "--out", out, "--labels", "all", *TINY_RUN]
    stdout, stderr = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(stdout),
        contextlib.redirect_stderr(stderr),
    ):
        patch.setenv("KERAS_BACKEND", BACKEND)
        patch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")
        patch.setattr(
            job,
            "model_for",
            lambda manifest: training.SmallModel(8000, 0.4, **TINY_MODEL),
        )
        status = cli.main(["quickstart", *map(str, arguments)])
    return types.SimpleNamespace(
        status=status,
        out=out,
        stdout=stdout.getvalue(),
        stderr=stderr.getvalue(),
        results=json.loads((out / "results.json").read_text()),
    )


def test_run_ends_with_the_accuracies(finished):
    assert finished.status == 0
    last = finished.stdout.splitlines()[-1]
    assert LAST_LINE.fullmatch(last)
    assert last == quickstart.last_line(finished.results)
    assert f"Everything is in {finished.out}" in finished.stdout


def test_run_leaves_its_files(finished):
    assert sorted(path.name for path in finished.out.iterdir()) == [
        "accuracy.png",
        "config.json",
        "fine_tuning.png",
        "log.txt",
        "metadata.json",
        "model.weights.h5",
        "pretraining.png",
        "reconstructions.png",
        "results.json",
        "run.json",
    ]
    for path in finished.out.glob("*.png"):
        assert path.read_bytes()[:4] == b"\x89PNG"


def test_run_keeps_its_settings(finished, sounds):
    settings = json.loads((finished.out / "run.json").read_text())
    model, pretraining, tuning = (
        settings.pop(name) for name in ("model", "pretraining", "fine_tuning")
    )
    assert (model["num_frames"], model["position_std"]) == (32, 0.3)
    assert pretraining["learning_rate"] == job.PRETRAINING_RATE
    assert pretraining["momentum"] == job.PRETRAINING["momentum"]
    assert pretraining["profile"] == "paper"  # a default
    assert (tuning["steps"], tuning["pooling"]) == (2, "cls")
    assert settings.pop("versions")["keras"] == keras.__version__
    assert settings.pop("backend") == keras.backend.backend()
    assert settings == {
        "data": str(sounds.manifest),
        "out": str(finished.out),
        "minutes": 5.0,
        "pretraining_steps": 3,
        "labels_per_class": 0,
        "fold": "1",
        "unlabelled": [],
        "seed": 1,
        "fine_tuning_steps": 2,
    }


def test_results_of_a_run(finished):
    results = finished.results
    for accuracy in (*results["accuracy"].values(), results["floor"]):
        assert 0 <= accuracy <= 100
        assert round(accuracy * 12 / 100, 6).is_integer(), "of 12 held-out clips"
    assert set(results["accuracy"]) == {"scratch", "pretrained"}
    assert results["chance"] == pytest.approx(100 / 12)
    assert results["held_out_clips"] == 12
    assert results["held_out"] == "test split"
    assert results["pretraining_steps"] == 3
    assert results["backend"] == BACKEND
    parts = {"loss", "reconstruction_loss", "local_loss", "global_loss"}
    assert set(results["pretraining"]) == parts
    for run in ("scratch", "pretrained"):
        assert set(results["fine_tuning"][run]) == {"loss", "accuracy"}


def test_log_of_a_run_is_what_it_printed(finished):
    log = (finished.out / "log.txt").read_text()
    for line in finished.stdout.splitlines():
        assert line in log.splitlines()
    assert "36 labelled clips to train with, 12 held out (test split), 40 for" in log


def test_run_passes_over_a_broken_file_and_says_so(finished, sounds):
    for text in (finished.stderr, (finished.out / "log.txt").read_text()):
        assert "1 of 36 clips could not be read" in text
        assert str(sounds.broken) in text


def test_run_shows_its_progress(finished):
    for bar in ("pretraining: 100 %", "fine-tuning: 100 %"):
        assert bar in finished.stderr


def test_the_preset_of_a_run_is_its_teacher(finished, sounds):
    teacher = presets.load(str(finished.out), load_weights=True)
    assert teacher.frontend.sample_rate == 8000
    assert "without labels" in presets.describe(str(finished.out))["trained_on"]
    manifest = data.read_manifest(sounds.manifest)
    task = clips.load_task(quickstart.Settings(data=str(sounds.manifest)))
    assert len(task.train) == len(manifest.where(split="train"))
    expected = training.normalisation(task.train, teacher.frontend, seed=1)
    assert (teacher.frontend.mean, teacher.frontend.std) == pytest.approx(expected)
    model = training.SmallModel(8000, 0.4, **TINY_MODEL)
    untrained = model.backbone(teacher.frontend)
    assert any(
        np.abs(new - old).max() > 1e-5
        for new, old in zip(
            values(teacher.weights), values(untrained.weights), strict=True
        )
        if old.ndim == 1  # biases and norms, which start from constants
    ), "the teacher has learned nothing"


# The program in a process of its own, where it can choose the backend.

OTHER = "jax" if BACKEND == "tensorflow" else "tensorflow"
IN_A_PROCESS = f"""
import sys
from keras_asit import cli

def with_a_tiny_model(settings, quickstart=cli._quickstart):
    from keras_asit import training
    from keras_asit.quickstart import job
    job.model_for = lambda _: training.SmallModel(8000, 0.4, **{TINY_MODEL})
    quickstart(settings)

cli._quickstart = with_a_tiny_model
if sys.argv[1] == "blocked":
    sys.modules["tensorflow"] = None
status = cli.main(["quickstart", *sys.argv[2:]])
import keras
print(status, keras.backend.backend())
"""


def asit_quickstart(folder, *arguments, tensorflow="installed"):
    done = subprocess.run(
        [sys.executable, "-c", IN_A_PROCESS, tensorflow, *map(str, arguments)],
        env={**os.environ, "KERAS_BACKEND": BACKEND, "PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_the_program_chooses_the_backend(tmp_path):
    """Whatever KERAS_BACKEND says. The manifest ends the run before it begins."""
    manifest = write_manifest(tmp_path / "m.csv", [("a.wav", "dog", "train")])
    (line,) = asit_quickstart(tmp_path, "--backend", OTHER, "--data", manifest)
    assert line == f"2 {OTHER}"


@pytest.mark.large
@pytest.mark.timeout(900)
def test_a_run_on_jax_without_tensorflow(sounds, tmp_path):
    """Keras imports TensorFlow wherever it finds it; here it is not to be found."""
    arguments = ["--backend", "jax", "--data", sounds.manifest, *TINY_RUN]
    *_, accuracy, last = asit_quickstart(tmp_path, *arguments, tensorflow="blocked")
    assert LAST_LINE.fullmatch(accuracy)
    assert last == "0 jax"


def test_accuracy_of_a_run_is_of_the_readable_clips(sounds):
    """A broken held-out clip is left out of the count, not counted as wrong."""
    manifest = data.read_manifest(sounds.manifest).where(split="test")
    test = manifest.take(np.tile(np.arange(12), 2))
    test.paths[3] = str(sounds.broken)
    model = training.SmallModel(8000, 0.4, **TINY_MODEL)
    classifier = models.ASiTClassifier(model.backbone(model.frontend()), 12)
    classifier.head.bias.assign(10.0 * np.eye(12)[0])  # says the first class
    tuning = types.SimpleNamespace(run=lambda *_, **__: (classifier, {}))
    task = clips.Task(manifest, test, test.paths, "")
    with pytest.warns(UserWarning, match="1 of 24 clips"):
        accuracy, _ = job.fine_tune(tuning, manifest, task, quickstart.Settings())
    assert accuracy == pytest.approx(100 * 2 / 23)


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
    rows = [(f"{i}.wav", "dog", "", "") for i in range(10)]
    manifest = write_manifest(tmp_path / "m.csv", rows, "path,label,fold,split")
    task = load_task(data=manifest)
    assert (len(task.train), len(task.test)) == (8, 2)


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


def test_minutes_of_pretraining_are_what_the_rest_leaves(monkeypatch):
    monkeypatch.setattr(job.time, "monotonic", lambda: 1060.0)
    settings = quickstart.Settings(minutes=5.0)
    assert job._minutes_left(settings, 1000.0) == pytest.approx(5 - 1.6)
    assert job._minutes_left(settings, 800.0) == 0.1  # late, but something is trained
