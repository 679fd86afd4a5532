"""What an audit refuses before it reads a clip, and where it does not write."""

import os

import pytest

from keras_asit import audit
from keras_asit.audit import plots
from keras_asit.data import Manifest, read_manifest
from keras_asit.data.manifest import ManifestError

# The filterbank is compared on every backend in test_log_mel.py.
pytestmark = pytest.mark.large_on_jax


@pytest.fixture(autouse=True)
def without_plots(monkeypatch):
    """They take a second an audit."""
    monkeypatch.setattr(plots, "figures", lambda report, facts: {})


def run(manifest, out, **options):
    return audit.audit(manifest, out=out, progress=False, **options)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"sample_rate": 0}, "sample_rate is 1000 to 768000 Hz; received 0"),
        ({"group": "singer"}, "a column of the manifest, of ['fold']; received 'sing"),
        ({"drop": ["loud"]}, "drop is of"),
        ({"fbank_clips": 0}, "fbank_clips is 1 or more; received 0"),
        ({"seed": -1}, "seed is 0 or more; received -1"),
        ({"workers": 0}, "workers is 1 or more; received 0"),
    ],
)
def test_wrong_arguments_leave_no_folder(write_set, noise, tmp_path, options, reason):
    path = write_set({"a.wav": noise(0)}, fold=["1"])
    with pytest.raises(ValueError) as error:
        run(path, tmp_path / "out", **options)
    assert reason in str(error.value)
    assert not (tmp_path / "out").exists()


def test_class_names_that_no_manifest_can_hold(write_set, noise, tmp_path):
    path = write_set({"a.wav": noise(0)})
    manifest = Manifest([str(path.parent / "a.wav")], [("rain; hail",)])
    with pytest.raises(ValueError, match=r"without `;`.*rain; hail"):
        run(manifest, tmp_path / "out")


def test_what_could_not_be_written_is_told_at_once(write_set, noise, tmp_path):
    path = str(write_set({"a.wav": noise(0)}).parent / "a.wav")
    for options in (
        {"columns": {"note ": ["x"]}},
        {"columns": {"note": [" x"]}},
        {"class_names": ["x", "x"]},
    ):
        with pytest.raises(ManifestError):
            run(Manifest([path], **options), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_manifest(tmp_path):
    with pytest.raises(ManifestError, match="no such file"):
        run(tmp_path / "absent.csv", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_other_manifest_is_replaced(write_set, noise, tmp_path):
    path = write_set({"a.wav": noise(0)})
    text = path.read_text()
    for source in (path, path.parent, read_manifest(path)):
        with pytest.raises(ValueError, match="would replace"):
            run(source, path.parent)
    assert path.read_text() == text
    run(path, tmp_path / "out")
    with pytest.raises(ValueError, match="would replace"):
        run(tmp_path / "out" / "manifest.csv", tmp_path / "out", root=path.parent)
    run(path, tmp_path / "out")


@pytest.mark.parametrize(
    "files",
    [
        {"clips.jsonl": '{"my": "own"}\n', "manifest.csv": "path\nmine.wav\n"},
        {"clips.jsonl": "not JSON", "report.json": "{}"},
        {"report.json": "mine"},
        {"findings.csv": "mine"},
        {"report.json": "[]", "clips.jsonl": '{"format": "keras_asit facts"}\n'},
    ],
)
def test_files_of_others_are_not_replaced(write_set, noise, tmp_path, files):
    path, out = write_set({"a.wav": noise(0)}), tmp_path / "out"
    out.mkdir()
    for name, text in files.items():
        (out / name).write_text(text)
    with pytest.raises(ValueError, match="which is not of an audit"):
        run(path, out)
    assert {file.name: file.read_text() for file in out.iterdir()} == files


def test_an_audit_that_was_killed_at_once_is_replaced(write_set, noise, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "clips.jsonl").touch()
    (tmp_path / "out" / "notes.txt").touch()
    assert run(write_set({"a.wav": noise(0)}), tmp_path / "out")["clips"] == 1


def test_the_folder_of_the_source_is_not_written_to(write_set, noise, tmp_path):
    path = write_set({"a.wav": noise(0), "b.wav": None})
    run(path, tmp_path / "out")
    dropped = (tmp_path / "out" / "dropped.csv").read_text()
    with pytest.raises(ValueError, match="or be read for it"):
        run(tmp_path / "out" / "dropped.csv", tmp_path / "out", root=path.parent)
    assert (tmp_path / "out" / "dropped.csv").read_text() == dropped
    os.remove(path)
    for source in (path.parent, read_manifest(path.parent)):
        with pytest.raises(ValueError, match="or be read for it"):
            run(source, path.parent)
    assert os.listdir(path.parent) == ["a.wav"]


def test_a_file_where_the_folder_should_be(write_set, noise, tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(ValueError, match="Cannot make the folder"):
        run(write_set({"a.wav": noise(0)}), tmp_path / "out")
