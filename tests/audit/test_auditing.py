"""The audit as a whole: what it finds, writes and refuses."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from keras_asit import audit
from keras_asit.audit import auditing, plots
from keras_asit.audit.findings import KINDS
from keras_asit.data import Manifest, read_manifest
from keras_asit.data.manifest import ManifestError

# The filterbank is compared on every backend in test_log_mel.py.
pytestmark = pytest.mark.large_on_jax

WRITTEN = ("report.json", "report.html", "manifest.csv", "dropped.csv", "findings.csv")


@pytest.fixture(autouse=True)
def without_plots(monkeypatch):
    """They take a second an audit; `monkeypatch.undo()` brings them back."""
    monkeypatch.setattr(plots, "figures", lambda report, facts: {})


def run(manifest, out, **options):
    return audit.audit(manifest, out=out, progress=False, **options)


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def one_of_each(write_set, noise):
    """A clip of each fault, and the set's manifest."""
    loud = np.clip(10 * noise(3), -1, 1)
    clips = {
        "good.wav": noise(0),
        "missing.wav": None,
        "broken.wav": b"RIFF....WAVEfmt ",
        "silent.wav": np.zeros(4000),
        "clipped.wav": loud,
        "copy.flac": noise(0),
        "test copy.wav": noise(5),
        "train copy.flac": noise(5),
        "other.wav": noise(7),
        "same speaker.wav": noise(8),
    }
    splits = ["train"] * 6 + ["test"] + ["train"] * 2 + ["test"]
    return write_set(
        clips,
        label=["a", "b"] * 5,
        split=splits,
        speaker=["s1", "s2", "s3", "s4", "s5", "s6", "s7", "s7", "s8", "s8"],
        note=["", 'a "quoted", one', *[""] * 7, "last"],
    )


def write_rate(manifest, name="fast.wav", rate=16000):
    wave = np.random.default_rng(9).uniform(-0.3, 0.3, rate)
    soundfile.write(manifest.parent / name, wave, rate)
    text = manifest.read_text()
    manifest.write_text(text + f"{name},a,train,s9,\n")


def test_one_of_each_fault(one_of_each, tmp_path):
    write_rate(one_of_each)
    report = run(one_of_each, tmp_path / "out", group="speaker")
    found = {
        kind: [clip["path"] for clip in finding["first"]]
        for kind, finding in report["findings"].items()
    }
    assert found == {
        "missing": ["missing.wav"],
        "broken": ["broken.wav"],
        "silent": ["silent.wav"],
        "clipped": ["clipped.wav"],
        "wrong-rate": ["fast.wav"],
        "duplicate": ["copy.flac", "train copy.flac"],
        "leaking": [
            "test copy.wav",
            "train copy.flac",
            "other.wav",
            "same speaker.wav",
        ],
    }
    copies = [clip["detail"] for clip in report["findings"]["duplicate"]["first"]]
    differ = "; labels differ"
    assert copies == [f"as good.wav{differ}", f"as test copy.wav{differ}"]
    leaks = [clip["detail"] for clip in report["findings"]["leaking"]["first"]]
    assert leaks[1:3] == [
        "this audio is in split test, train; speaker s7 is in split test, train",
        "speaker s8 is in split test, train",
    ]
    assert [leak["groups"] for leak in report["leaks"]] == [1, 2]
    assert report["clips"] == 11 and report["readable"] == 9
    assert report["kept"]["clips"] == 6
    assert report["hours"] == pytest.approx((8 * 0.5 + 1) / 3600)
    assert report["rates"] == {"8000": 8, "16000": 1}
    assert report["log_mel"]["clips"] == report["log_mel"]["of_clips"] == 6


def test_the_cleaned_manifest(one_of_each, tmp_path):
    report = run(one_of_each, tmp_path / "out")
    cleaned = tmp_path / "out" / "manifest.csv"
    with pytest.raises(ManifestError, match="outside"):
        read_manifest(cleaned)
    assert report["read_with"] == f"root={str(tmp_path / 'set')!r}"
    manifest = read_manifest(cleaned, root=tmp_path / "set")
    source = read_manifest(one_of_each)
    kept = [0, 4, 6, 8, 9]
    assert manifest.paths.tolist() == source.paths[kept].tolist()
    assert all(map(os.path.exists, manifest.paths))
    assert manifest.labels.tolist() == source.labels[kept].tolist()
    assert list(manifest.columns) == ["split", "speaker", "note"]
    for name, column in manifest.columns.items():
        assert column.tolist() == source.columns[name][kept].tolist()


def test_lists_of_clips(one_of_each, tmp_path):
    report = run(one_of_each, tmp_path / "out")
    dropped = {row["path"]: row for row in rows(tmp_path / "out" / "dropped.csv")}
    assert {path: row["finding"] for path, row in dropped.items()} == {
        "missing.wav": "missing",
        "broken.wav": "broken",
        "silent.wav": "silent",
        "copy.flac": "duplicate",
        "train copy.flac": "duplicate",
    }
    assert dropped["copy.flac"]["detail"] == "as good.wav; labels differ"
    assert dropped["broken.wav"]["detail"]
    findings = rows(tmp_path / "out" / "findings.csv")
    assert len(findings) == sum(f["clips"] for f in report["findings"].values())
    assert [row["path"] for row in findings if row["finding"] == "leaking"] == [
        "test copy.wav",
        "train copy.flac",
    ]


def test_beside_its_clips_the_manifest_needs_no_root(one_of_each, tmp_path):
    report = run(one_of_each, tmp_path, drop=["missing"])
    assert report["read_with"] == ""
    assert len(read_manifest(tmp_path / "manifest.csv")) == 9


def test_what_is_dropped_can_be_chosen(one_of_each, tmp_path):
    def kept(**options):
        run(one_of_each, tmp_path / "out", **options)
        return {Path(row["path"]).name for row in rows(tmp_path / "out/manifest.csv")}

    everything = {row["path"] for row in rows(one_of_each)}
    assert kept(drop=[]) == everything
    assert kept(drop=["silent"]) == everything - {"silent.wav"}
    assert kept(drop=["leaking"], group="speaker") == (
        everything - {"train copy.flac", "other.wav"}
    )


def test_two_runs_give_the_same(one_of_each, tmp_path, monkeypatch):
    monkeypatch.undo()
    one = run(one_of_each, tmp_path / "1", workers=1)
    two = run(one_of_each, tmp_path / "2", workers=4)
    assert one == two
    for name in WRITTEN:
        assert (tmp_path / "1" / name).read_bytes() == (
            tmp_path / "2" / name
        ).read_bytes(), name
    assert json.loads((tmp_path / "1" / "report.json").read_text()) == one
    assert not list(tmp_path.glob("*/*.part"))


def test_a_further_run_gives_the_same(one_of_each, tmp_path):
    one = run(one_of_each, tmp_path / "out")
    assert run(one_of_each, tmp_path / "out") == one
    journal = tmp_path / "out" / "clips.jsonl"
    journal.write_bytes(journal.read_bytes()[:600])  # it was killed
    (tmp_path / "out" / "log_mel.jsonl").unlink()
    assert run(one_of_each, tmp_path / "out") == one


def test_a_subset_for_the_log_mel_is_drawn_by_the_seed(write_set, noise, tmp_path):
    clips = {f"{i}.wav": noise(i, level=0.3 / (1 + i)) for i in range(12)}
    manifest = write_set(clips)

    def log_mel(**options):
        return run(manifest, tmp_path / "out", **options)["log_mel"]

    whole = log_mel()
    some = log_mel(fbank_clips=6)
    assert whole["clips"] == 12 and whole["standard_error"] == 0
    assert some["clips"] == 6 and some["of_clips"] == 12
    assert some == log_mel(fbank_clips=6) != log_mel(fbank_clips=6, seed=1)
    assert abs(some["mean"] - whole["mean"]) < 4 * some["standard_error"]


def test_a_manifest_in_memory_and_a_folder(write_set, noise, tmp_path):
    path = write_set({"a.wav": noise(0), "b.wav": noise(1)})
    of_path = run(path, tmp_path / "1")
    manifest = read_manifest(path)
    of_manifest = run(manifest, tmp_path / "2")
    assert of_manifest == {**of_path, "source": ""}
    os.remove(path)
    of_folder = run(path.parent, tmp_path / "3")
    assert of_folder["clips"] == 2 and of_folder["labels"]["without"] == 2


def test_a_dataframe(write_set, noise, tmp_path):
    pandas = pytest.importorskip("pandas")
    folder = write_set({"a.wav": noise(0), "b.wav": None}).parent
    frame = pandas.DataFrame({"path": ["a.wav", "b.wav"], "label": ["x", "y"]})
    report = run(frame, tmp_path / "out", root=folder)
    assert report["clips"] == 2 and report["readable"] == 1
    assert run(frame, tmp_path / "out", root=folder) == report


def test_several_labels_a_clip(write_set, noise, tmp_path):
    path = write_set(
        {"a.wav": noise(0), "b.wav": noise(1), "c.wav": None}, labels=["x;y", "", "y"]
    )
    labels = run(path, tmp_path / "out")["labels"]
    assert labels == {
        "classes": 2,
        "many_a_clip": True,
        "without": 1,
        "clips": {"x": 1, "y": 2},
    }
    cleaned = read_manifest(tmp_path / "out/manifest.csv", root=path.parent)
    assert cleaned.labels.tolist() == [("x", "y"), ()]


@pytest.mark.parametrize("content", [None, b"text", np.zeros(800)])
def test_nothing_that_can_be_used(write_set, tmp_path, content):
    path = write_set({"a.wav": content, "b.wav": content})
    report = run(path, tmp_path / "out")
    assert report["log_mel"] is None and report["kept"]["clips"] == 0
    assert "No clip to measure" in audit.summary(report, tmp_path / "out")
    assert rows(tmp_path / "out" / "manifest.csv") == []


def test_clips_shorter_than_a_frame(write_set, noise, tmp_path):
    report = run(write_set({"a.wav": noise(0, 0.02)}), tmp_path / "out")
    assert report["log_mel"] is None and report["kept"]["clips"] == 1


def test_a_page_that_fails_leaves_all_else(one_of_each, tmp_path, monkeypatch):
    def fail(report, facts):
        raise RuntimeError("no page")

    monkeypatch.setattr(auditing, "page", fail)
    with pytest.raises(RuntimeError, match="no page"):
        run(one_of_each, tmp_path)
    assert len(rows(tmp_path / "manifest.csv")) == 5
    assert json.loads((tmp_path / "report.json").read_text())["kept"]["clips"] == 5


def test_the_classes_keep_their_order(write_set, noise, tmp_path):
    clips = {"a.wav": noise(0), "b.wav": noise(1), "c.wav": None}
    path = write_set(clips, label=["x", "y", "z, z"])

    def classes(out, **options):
        report = run(path, tmp_path / out, **options)
        labels = tmp_path / out / "labels.csv" if report["needs_labels"] else None
        cleaned = tmp_path / out / "manifest.csv"
        return read_manifest(cleaned, root=path.parent, labels=labels).class_names

    assert classes("1", labels=["y", "x", "z, z", "w"]) == ["y", "x", "z, z", "w"]
    assert classes("2") == ["x", "y", "z, z"]  # one has no clip any more
    clips.pop("c.wav")
    path = write_set(clips, folder="whole", label=["x", "y"])
    assert not run(path, tmp_path / "3")["needs_labels"]


def test_two_sets_of_the_same_names(write_set, noise, tmp_path):
    """Of the same sizes and times, audited to the same folder."""
    reports = []
    for folder, level in [("one", 0.3), ("two", 0.03)]:
        path = write_set({"a.wav": noise(0, level=level)}, folder=folder)
        os.utime(path.parent / "a.wav", ns=(0, 10**18))
        outs = tmp_path / "out", tmp_path / folder / "out"
        reports.append([run(path, out) for out in outs])
    for shared, own in reports:
        assert shared["log_mel"] == own["log_mel"]
        assert shared["peak_dbfs"] == own["peak_dbfs"]
    assert reports[0][0]["log_mel"] != reports[1][0]["log_mel"]


def test_a_path_that_stands_twice_is_a_duplicate(write_set, noise, tmp_path):
    path = str(write_set({"a.wav": noise(0)}).parent / "a.wav")
    manifest = Manifest([path, path], [("x",), ("y",)])
    report = run(manifest, tmp_path / "out")
    [found] = report["findings"]["duplicate"]["first"]
    assert found["detail"].endswith("a.wav; labels differ")
    assert report["kept"]["clips"] == 1
    assert run(manifest, tmp_path / "out", drop=[])["kept"]["clips"] == 2


def test_names_of_the_public():
    assert set(audit.DROPPED) < set(audit.KINDS) == set(KINDS)
    assert auditing.FBANK_CLIPS == audit.FBANK_CLIPS
    assert plots.figures and audit.Findings


def test_known_copies_of_speech_commands(data_root, tmp_path):
    """The set's own column names 121 clips that are copies, and of which others."""
    path = data_root / "speech_commands_v2_test" / "manifest.csv"
    if not path.exists():
        pytest.skip(f"needs {path}")
    manifest = read_manifest(path)
    names = [os.path.relpath(path, manifest.root) for path in manifest.paths]
    copies = {
        name: first for name, first in zip(names, manifest.columns["dup_of"]) if first
    }
    chosen = {*copies, *copies.values()}
    part = manifest.take(np.array([name in chosen for name in names]))
    found = run(part, tmp_path, fbank_clips=1)["findings"]["duplicate"]["first"]
    assert {clip["path"]: clip["detail"] for clip in found} == {
        copy: f"as {first}" for copy, first in copies.items()
    }
    assert len(found) == 121
