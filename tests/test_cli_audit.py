"""What `asit audit` takes and says; what an audit does is in audit/."""

import os
import tempfile

import keras
import pytest

from keras_asit import audit, cli


@pytest.fixture
def asit(capsys, monkeypatch):
    """Runs the program in this process: its exit status and the lines of stderr."""
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")

    def run(*arguments):
        status = cli.main([str(argument) for argument in arguments])
        return status, capsys.readouterr().err.splitlines()

    return run


def test_problems_of_a_manifest_are_told_in_a_line(asit, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "all"))
    (tmp_path / "all").mkdir()
    path = tmp_path / "many.csv"
    path.write_text("path,label\n" + ",x\n" * 20)
    told = [f"line {line}: the path is empty" for line in range(2, 122)]
    head = f"asit: error: Cannot use the manifest {path}: "
    assert asit("audit", path) == (2, [head + "; ".join(told[:20])])
    assert not os.listdir(tmp_path / "all")
    path.write_text("path,label\n" + ",x\n" * 120)
    status, (line,) = asit("audit", path)
    (name,) = os.listdir(tmp_path / "all")
    assert status == 2
    more = f"; and 100 more problems; all of them are in {tmp_path / 'all' / name}"
    assert line == head + "; ".join(told[:20]) + more
    assert (tmp_path / "all" / name).read_text().splitlines() == told


@pytest.mark.parametrize(
    ("words", "drop"),
    [
        ("{}", None),
        ("--drop missing {}", ["missing"]),
        ("{} --drop missing,broken --drop silent", ["missing", "broken", "silent"]),
        ("--drop= {}", []),
    ],
)
def test_what_an_audit_drops(asit, tmp_path, monkeypatch, words, drop):
    received = []
    monkeypatch.setattr(audit, "summary", lambda report, out: "")
    monkeypatch.setattr(
        audit, "audit", lambda source, **options: received.append(options)
    )
    (tmp_path / "m.csv").touch()
    assert asit("audit", *words.format(tmp_path / "m.csv").split()) == (0, [])
    assert received[0].get("drop") == drop
