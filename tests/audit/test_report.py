"""The dictionary that all outputs are made from."""

import json

import pytest

from keras_asit.audit import report as reporting
from keras_asit.audit.facts import Facts
from keras_asit.audit.findings import DROPPED, Findings
from keras_asit.data import Manifest

pytestmark = pytest.mark.backend_free


def describe(clips, labels=None, **columns):
    paths = [f"/x/{i}.wav" for i in range(len(clips))]
    facts = Facts(paths, "/x")
    for row, changes in enumerate(clips):
        good = {"size": 1, "mtime": 1, "rate": 8000, "channels": 1, "frames": 8000}
        good.update({"peak": 0.5, "rms": 0.1, "clipped": 0.0, "format": "WAV"})
        good["audio"] = f"{row:016x}"
        facts.set(row, None if changes is None else {**good, **changes})
    manifest = Manifest(paths, labels, columns=columns, root="/x")
    findings = Findings(manifest, facts)
    dropped = findings.to_drop(DROPPED)
    return reporting.describe(manifest, facts, findings, dropped, None)


def test_values_by_hand():
    report = describe(
        [{}, {"frames": 24000, "channels": 2}, None, {"rate": 16000, "format": "OGG"}]
        + [{"peak": 0.0, "rms": 0.0}],
        labels=[("b",), ("a", "b"), (), ("b",), ("c",)],
        fold=["2", "1", "1", "", "1"],
        split=["x"] * 5,
    )
    assert report["clips"] == 5 and report["readable"] == 4
    assert report["hours"] == pytest.approx((1 + 3 + 0.5 + 1) / 3600)
    assert report["kept"] == {"clips": 3, "hours": pytest.approx(4.5 / 3600)}
    assert report["seconds"]["0%"] == 0.5 and report["seconds"]["100%"] == 3
    assert report["seconds"]["50%"] == 1 and report["seconds"]["mean"] == 1.375
    assert report["rates"] == {"8000": 3, "16000": 1}
    assert report["channels"] == {"1": 3, "2": 1}
    assert report["formats"] == {"WAV": 3, "OGG": 1}
    assert report["divisions"] == {"fold": {"": 1, "1": 3, "2": 1}}
    assert report["peak_dbfs"]["0%"] == -120 and report["rms_dbfs"]["50%"] == -20
    assert report["labels"] == {
        "classes": 3,
        "many_a_clip": True,
        "without": 1,
        "clips": {"a": 1, "b": 3, "c": 1},
    }
    assert report["findings"]["silent"] == {
        "meaning": "peak below -60 dBFS",
        "clips": 1,
        "dropped": 1,
        "first": [{"path": "4.wav", "detail": "peak -120.0 dBFS"}],
    }
    assert report["thresholds"]["clipped_run_samples"] == 3
    assert json.loads(json.dumps(report)) == report


def test_long_lists_end(monkeypatch):
    monkeypatch.setattr(reporting, "LISTED", 2)
    missing = describe([None] * 5)["findings"]["missing"]
    assert missing["clips"] == missing["dropped"] == 5
    assert [clip["path"] for clip in missing["first"]] == ["0.wav", "1.wav"]


def test_without_a_readable_clip():
    report = describe([None, {"error": "is empty"}])
    assert report["seconds"] is None and report["rates"] == {}
    assert report["sample_rate"] is None
    assert json.loads(json.dumps(report)) == report
