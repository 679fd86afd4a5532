"""The main job: what it leaves behind, and what it says."""

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

ROOT = Path(__file__).resolve().parents[2]
BACKEND = keras.backend.backend()

LAST_LINE = re.compile(
    r"held-out accuracy: scratch \d+\.\d %, pretrained \d+\.\d %, chance \d+\.\d %"
)
TINY_MODEL = {"num_frames": 32, "num_mel_bins": 32, "hidden_dim": 16, "num_layers": 1}
TINY_RUN = ["--steps", "3", "--fine-tuning-steps", "2", "--seed", "1"]


def test_an_existing_folder_is_not_overwritten(tmp_path):
    assert folder.new_folder(tmp_path / "run") == tmp_path / "run"
    assert folder.new_folder(f"{tmp_path}/run/") == tmp_path / "run", "it is empty"
    (tmp_path / "run" / "results.json").touch()
    assert folder.new_folder(f"{tmp_path}/run/") == tmp_path / "run-2"
    (tmp_path / "run-2" / "results.json").touch()
    assert folder.new_folder(tmp_path / "run") == tmp_path / "run-3"


@pytest.mark.parametrize("out", [".", "..", "/"])
def test_a_run_is_not_written_among_other_files(tmp_path, monkeypatch, out):
    (tmp_path / "here" / "src").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(ValueError, match="Name one inside of it, as runs/quickstart"):
        folder.new_folder(out)
    assert [path.name for path in tmp_path.rglob("*")] == ["here", "src"]


def test_settings_take_paths(tmp_path):
    settings = quickstart.Settings(out=tmp_path, data=tmp_path / "m.csv")
    written = job.configuration(settings, training.SmallModel())
    folder.write_json(tmp_path / "run.json", written)
    assert json.loads((tmp_path / "run.json").read_text())["out"] == str(tmp_path)


def test_filters_are_for_the_pretraining(monkeypatch):
    """As asked, and what the recorded configuration says."""
    settings = quickstart.Settings(pretraining_steps=1, filter_decibels=7.0)
    written = job.configuration(settings, training.SmallModel())["pretraining"]
    seen = {}
    monkeypatch.setattr(
        training, "pretrain", lambda *_, **options: seen.update(options)
    )
    frontend = training.SmallModel().frontend()
    task = types.SimpleNamespace(pretraining=[])
    job.pretrain_small(training.SmallModel(), frontend, task, settings, minutes=1.0)
    assert seen["filter_decibels"] == written["filter_decibels"] == 7.0


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


@pytest.mark.large_on_jax
def test_run_ends_with_the_accuracies(finished):
    assert finished.status == 0
    last = finished.stdout.splitlines()[-1]
    assert LAST_LINE.fullmatch(last)
    assert last == quickstart.last_line(finished.results)
    assert f"Everything is in {finished.out}" in finished.stdout


@pytest.mark.large_on_jax
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


@pytest.mark.large_on_jax
def test_run_keeps_its_settings(finished, sounds):
    settings = json.loads((finished.out / "run.json").read_text())
    model, pretraining, tuning = (
        settings.pop(name) for name in ("model", "pretraining", "fine_tuning")
    )
    assert (model["num_frames"], model["position_std"]) == (32, 0.3)
    assert pretraining["learning_rate"] == job.PRETRAINING_RATE
    assert pretraining["momentum"] == job.PRETRAINING["momentum"]
    assert pretraining["profile"] == "paper"  # a default
    assert pretraining["student_temperature"] == 0.1  # of the profile
    assert "seed" not in pretraining
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
        "filter_decibels": 0.0,
    }


@pytest.mark.large_on_jax
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
    assert parts <= set(results["pretraining"])
    for run in ("scratch", "pretrained"):
        assert set(results["fine_tuning"][run]) == {"loss", "accuracy"}


@pytest.mark.large_on_jax
def test_log_of_a_run_is_what_it_printed(finished):
    log = (finished.out / "log.txt").read_text()
    for line in finished.stdout.splitlines():
        assert line in log.splitlines()
    assert "36 labelled clips to train with, 12 held out (test split), 40 for" in log


@pytest.mark.large_on_jax
def test_run_passes_over_a_broken_file_and_says_so(finished, sounds):
    for text in (finished.stderr, (finished.out / "log.txt").read_text()):
        assert "1 of 36 clips could not be read" in text
        assert str(sounds.broken) in text


@pytest.mark.large_on_jax
def test_run_shows_its_progress(finished):
    for bar in ("pretraining: 100 %", "fine-tuning: 100 %"):
        assert bar in finished.stderr


@pytest.mark.large_on_jax
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

def with_a_tiny_model(settings, quickstart=cli.quickstart.run):
    from keras_asit import training
    from keras_asit.quickstart import job
    job.model_for = lambda _: training.SmallModel(8000, 0.4, **{TINY_MODEL})
    quickstart(settings)

cli.quickstart.run = with_a_tiny_model
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


@pytest.mark.large_on_jax
def test_the_program_chooses_the_backend(tmp_path):
    """Whatever KERAS_BACKEND says. The manifest ends the run before it begins."""
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,label,split\na.wav,dog,train\n")
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


def test_minutes_of_pretraining_are_what_the_rest_leaves(monkeypatch):
    monkeypatch.setattr(job.time, "monotonic", lambda: 1060.0)
    settings = quickstart.Settings(minutes=5.0)
    assert job._minutes_left(settings, 1000.0) == pytest.approx(5 - 1.6)
    assert job._minutes_left(settings, 800.0) == 0.1  # late, but something is trained
