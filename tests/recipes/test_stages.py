import pytest

from recipes import results, stages
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
    assert one_seed["deviation_over"] == "groups"
    assert results.spread(one_seed) == "55.0 ± 7.1"
    assert results.spread(results.summary({"0": {"1": a}})) == "50.0"


def test_provenance_names_each_once():
    second = {**records(1.0)[0], "made_by": {**MADE_BY, "command": "second"}}
    found = stages.provenance([*records(1.0, 2.0), second])
    assert found["command"] == ["first", "second"]
    assert found["commit"] == ["abc"]
    assert found["duration"] == "0 h 03 min"


def test_report_tells_what_the_deviation_is_over(tmp_path):
    kept = Stages(tmp_path, {}, MADE_BY)
    for fold, score in (("1", 50.0), ("2", 60.0)):
        kept.done(f"fold-{fold}/seed-0/own", lambda score=score: {"score": score})
        kept.done(f"fold-{fold}/seed-0/own_pretraining", lambda: {"steps": 3})
    summaries = results.report(tmp_path, ["a", "b"])
    assert set(summaries) == {"own"}
    table = (tmp_path / "results.md").read_text()
    assert "| own | 55.0 ± 7.1 | 1 2 | 0 | `first` | abc | m | 0 h 00 min |" in table
