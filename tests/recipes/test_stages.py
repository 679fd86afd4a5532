from types import SimpleNamespace

import numpy as np
import pytest

from keras_asit.training import Protocol
from recipes import results, stages
from recipes.apart import check_apart
from recipes.stages import Stages

MADE_BY = {"command": "first", "commit": "abc", "machine": "m"}


def test_a_stage_runs_once(tmp_path):
    calls = []

    def run():
        calls.append(1)
        return {"score": 10.0}

    first = Stages(tmp_path, {"a": 1}, MADE_BY).done("fold-1/seed-0/own", run)
    again = Stages(tmp_path, {"a": 1}, {**MADE_BY, "command": "second"})
    assert again.done("fold-1/seed-0/own", run) == first
    assert calls == [1]
    assert first["made_by"]["command"] == "first"
    assert first["score"] == 10.0
    assert first["seconds"] >= 0


def test_a_stage_that_fails_leaves_nothing(tmp_path):
    kept = Stages(tmp_path, {}, MADE_BY)

    def fail():
        raise InterruptedError

    with pytest.raises(InterruptedError):
        kept.done("fold-1/seed-0/own", fail)
    assert not list(tmp_path.glob("fold-1/**/*.json"))


def test_seconds_of_interrupted_runs_count(tmp_path, monkeypatch):
    clock = iter([0.0, 30.0, 100.0, 105.0])
    monkeypatch.setattr(stages.time, "monotonic", lambda: next(clock))
    kept = Stages(tmp_path, {}, MADE_BY)

    def end():
        raise SystemExit(0)

    with pytest.raises(SystemExit):
        kept.done("seed-0/result", end)
    assert kept.done("seed-0/result", lambda: {})["seconds"] == 35.0
    assert [file.name for file in (tmp_path / "seed-0").iterdir()] == ["result.json"]


def test_other_settings_are_refused_by_name(tmp_path):
    settings = {"protocol": {"epochs": 3, "betas": (0.9, 0.99)}, "steps": 5}
    Stages(tmp_path, settings, MADE_BY)
    Stages(tmp_path, settings, MADE_BY)
    changed = {**settings, "protocol": {"epochs": 4, "betas": (0.9, 0.99)}}
    with pytest.raises(ValueError, match=r"protocol\.epochs is 3 there, 4 here"):
        Stages(tmp_path, changed, MADE_BY)


def records(*scores):
    return [{"score": s, "seconds": 60.0, "made_by": MADE_BY} for s in scores]


def test_summary_by_hand():
    a, b, c, d = records(50.0, 60.0, 54.0, 64.0)
    summary = results.summary({"0": {"1": a, "2": b}, "1": {"1": c, "2": d}})
    assert summary["mean"] == 57.0  # 55 and 59: deviation 4 / sqrt(2)
    assert summary["deviation"] == pytest.approx(2.8284, abs=1e-4)
    assert summary["deviation_over"] == "seeds"
    assert summary["by_group"] == {"1": 52.0, "2": 62.0}
    assert results.spread(summary) == "57.0 ± 2.8"
    one_seed = results.summary({"0": {"1": a, "2": b}})
    assert one_seed["deviation_over"] == "held out"
    unequal = results.summary({"0": {"1": a, "2": b}, "1": {"1": c}})
    assert (unequal["mean"], unequal["groups"]) == (52.0, ["1"])
    with pytest.raises(ValueError, match="seeds that held out the same"):
        results.summary({"0": {"1": a}, "1": {"2": b}})
    assert results.spread(one_seed) == "55.0 ± 7.1"
    assert results.spread(results.summary({"0": {"1": a}})) == "50.0"


def test_provenance_names_each_once():
    second = {**records(1.0)[0], "made_by": {**MADE_BY, "command": "second"}}
    found = stages.provenance([*records(1.0, 2.0), second])
    assert found["command"] == ["first", "second"]
    assert found["commit"] == ["abc"]
    assert found["duration"] == "0 h 03 min"


def test_report_tells_what_the_deviation_is_over(tmp_path):
    protocol = Protocol(selection="ast_published", epochs=3).as_dict()
    settings = {"clips": "20 clips, abc", "column": "fold", "protocol": protocol}
    kept = Stages(tmp_path, settings, MADE_BY)
    for fold, score in (("1", 50.0), ("2", 60.0)):
        kept.done(f"fold-{fold}/seed-0/own", lambda score=score: {"score": score})
        kept.done(f"fold-{fold}/seed-0/own_pretraining", lambda: {"steps": 3})
    summaries = results.report(tmp_path, ["a", "b"])
    assert set(summaries) == {"own"}
    text = (tmp_path / "results.md").read_text()
    row = "| own | 55.0 ± 7.1 | held out | 1 2 | 0 | `first` | abc | m | 0 h 00 min |"
    assert row in text
    assert "20 clips, held out by fold" in text
    assert "the best epoch on the TEST clips counts" in text
    assert "Pretrainings `own`: 2, of 3 steps each" in text


@pytest.mark.parametrize(
    "name, is_shared",
    [
        ("1-100032-A-0.wav", True),  # ESC-50's name of ESC-10's clip
        ("1-100032-A.flac", True),
        ("1-100032-B.wav", False),
        ("copy.wav", True),  # the same bytes
        ("other.wav", False),
    ],
)
def test_clips_of_two_sets_are_told_apart(tmp_path, name, is_shared):
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    ours, theirs = tmp_path / "ours" / "1-100032-A.ogg", tmp_path / "theirs" / name
    ours.write_bytes(b"sound")
    theirs.write_bytes(b"sound" if name == "copy.wav" else b"noise and more")
    held_out, others = (
        SimpleNamespace(paths=np.array([str(path)])) for path in (ours, theirs)
    )
    if not is_shared:
        return check_apart(held_out, others, "others")
    with pytest.raises(ValueError, match="1 clips that are scored are among others"):
        check_apart(held_out, others, "others")


def test_the_log_has_a_row_for_each_epoch_of_each_stage(tmp_path):
    kept = Stages(tmp_path, {}, MADE_BY)
    losses = {"loss": [2.0, 1.0], "doctor/data_wait": [0.1, 0.2]}
    kept.done("fold-1/seed-0/own_pretraining", lambda: {"history": losses})
    accuracies = {"accuracy": [0.5]}
    kept.done("fold-1/seed-0/own", lambda: {"score": 50.0, "history": accuracies})
    kept.done("fold-1/seed-0/own_knn", lambda: {"score": 40.0})
    assert results.log(tmp_path).splitlines() == [
        "stage,commit,epoch,accuracy,loss",
        "fold-1/seed-0/own,abc,1,0.5,",
        "fold-1/seed-0/own_pretraining,abc,1,,2.0",
        "fold-1/seed-0/own_pretraining,abc,2,,1.0",
    ]
