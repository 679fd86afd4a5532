"""The paper's pretraining runs for a moment."""

import json

import pytest

from keras_asit import models, presets
from recipes.audioset_pretrain import config, prepare, train
from recipes.audioset_pretrain.cost import Cost


@pytest.fixture(scope="module")
def manifest(audioset):
    assert prepare.main(["--data", str(audioset)]) == 0
    return audioset / "manifest.csv"


def read(out):
    return json.loads((out / "pretraining.json").read_text())


def test_audioset_pretrain_trains(manifest, tmp_path, monkeypatch, capsys):
    words = f"--data {manifest} --out {tmp_path} --tiny --batch-size 7 --every 1"
    assert train.main(words.split()) == 0
    printed = capsys.readouterr().out
    assert "22 clips of manifest.csv, split balanced and unbalanced" in printed
    assert "s a step" in printed and "clips/s (median of 1 steps)" in printed
    record = read(tmp_path)
    assert record["steps"] == 3 and len(record["history"]["loss"]) == 1
    entry = presets.describe(tmp_path / "backbone")
    assert entry["weights"] and entry["trained_on"] == record["trained_on"]
    for text in ("22 clips of manifest.csv", "profile paper", "1 epochs of 3 steps"):
        assert text in entry["trained_on"]
    assert sorted((tmp_path / "checkpoints").glob("*.ckpt"))

    def fit(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(models.ASiTPretrainer, "fit", fit)
    assert train.main(words.split()) == 0, "it is done"
    capsys.readouterr()
    assert train.main([*words.split(), "--profile", "reference"]) == 2
    assert "profile is 'paper' there" in capsys.readouterr().err


@pytest.fixture
def fitted(monkeypatch):
    """What `fit` was given; nothing is trained."""
    given = []

    def fit(pretrainer, views, **arguments):
        given.append((pretrainer, views, arguments))
        return type("History", (), {"history": {"loss": [1.0]}})

    monkeypatch.setattr(models.ASiTPretrainer, "fit", fit)
    monkeypatch.setattr(presets, "save", lambda *_, **__: None)
    return given


@pytest.mark.large_on_jax  # draws the weights of the real heads
def test_audioset_pretrain_is_the_papers(fitted, manifest, tmp_path):
    words = f"--data {manifest} --out {tmp_path} --size tiny --batch-size 8"
    assert train.main([*words.split(), "--split", "unbalanced"]) == 0
    [(pretrainer, views, arguments)] = fitted
    assert arguments["epochs"] == 40
    assert arguments["resume"] == tmp_path / "checkpoints"
    names = [type(callback).__name__ for callback in arguments["callbacks"]]
    assert names == ["EMATeacher", "Cost", "Checkpoint"]
    assert len(views) == 1
    assert pretrainer.student.frontend.sample_rate == 32000
    assert tuple(next(iter(views)).shape) == (8, 2, 592, 128)
    assert pretrainer.optimizer.global_clipnorm == 3.0
    assert pretrainer.optimizer.learning_rate is not None
    assert read(tmp_path)["steps"] == 40


def test_audioset_pretrain_without_a_split_takes_all(fitted, audioset, tmp_path):
    words = f"--data {audioset / 'audio'} --out {tmp_path} --tiny --epochs 2"
    assert train.main([*words.split(), "--profile", "reference"]) == 0
    [(pretrainer, views, arguments)] = fitted
    assert len(views) == (10 + 12 + 9) // 4
    assert arguments["epochs"] == 2
    assert pretrainer.profile == "reference"
    assert pretrainer.optimizer.clipnorm == 3.0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("--split valid", "No clip meets"),
        ("--batch-size 100", "Expected as many clips as a batch has, 100"),
    ],
)
def test_audioset_pretrain_says_in_one_line(manifest, tmp_path, wrong, said, capsys):
    words = f"--data {manifest} --out {tmp_path} --tiny {wrong}"
    assert train.main(words.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_audioset_pretrain_refuses_an_unknown_size(capsys):
    with pytest.raises(SystemExit) as end:
        train.main(["--data", "x", "--out", "y", "--size", "huge"])
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "huge" in line


@pytest.mark.backend_free
def test_settings_are_the_papers():
    assert config.CROP_SECONDS == 6.0
    assert config.EPOCHS == {"paper": 40, "reference": 100}
    assert config.BATCH_PER_DEVICE == {"paper": 64, "reference": 32}
    assert "eval" not in config.SPLITS


@pytest.mark.backend_free
def test_cost_by_hand(monkeypatch, capsys):
    """Steps of 9 s while it compiles, then of 0.5 s: 20 clips are 40 a second."""
    now = iter([9.0, 18.0, *(18.0 + 0.5 * i for i in range(1, 30))])
    monkeypatch.setattr("time.monotonic", lambda: next(now))
    cost = Cost(batch_size=20, steps=7200)
    assert "fewer than three" in str(cost)
    for batch in range(25):
        cost.on_train_batch_end(batch, {"loss": 1.0})
    assert cost.step_seconds == 0.5
    (line,) = capsys.readouterr().out.split("\n")[1:-1]
    assert "0.500 s a step, 40.0 clips/s (median of 21 steps), so 1.0 h" in line
