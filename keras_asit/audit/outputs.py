"""The folder of an audit, its files that list clips, and files written whole."""

import contextlib
import csv
import json
import os

from keras_asit import whole_files
from keras_asit.audit.findings import KINDS

_NAMES = (
    "report.html",
    "report.json",
    "manifest.csv",
    "labels.csv",
    "dropped.csv",
    "findings.csv",
    "clips.jsonl",
    "log_mel.jsonl",
)


def make_folder(out, others):
    """Makes the folder of an audit, where nothing but an earlier audit is replaced.

    Args:
        out: The folder.
        others: Folders that it may not be: of the source, of the clips. A manifest in
            them would be read in their place. `""` stands for none.

    Raises:
        ValueError: If it may not be used, or cannot be made.
    """
    if os.path.realpath(out) in [os.path.realpath(other) for other in others if other]:
        raise ValueError(
            "The outputs would replace files of the source, or be read for it, in "
            f"{out}. Name another folder to write to, as runs/audit."
        )
    there = [name for name in _NAMES if os.path.lexists(os.path.join(out, name))]
    if there and not _is_audit(out):
        raise ValueError(
            f"The outputs would replace {os.path.join(out, there[0])}, which is not of "
            "an audit. Name another folder to write to, as runs/audit."
        )
    try:
        os.makedirs(out, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"Cannot make the folder {out} ({error.strerror}). Name one to write to."
        ) from error


def _is_audit(out):
    """Whether the journal in a folder, and the report if there is one, are ours."""
    journal, report = os.path.join(out, "clips.jsonl"), os.path.join(out, "report.json")
    try:
        with open(journal, "rb") as file:
            beginning = file.readline(1000)
        if beginning and not _is_ours(beginning):  # empty where it was killed at once
            return False
        if os.path.lexists(report):
            with open(report, "rb") as file:
                return _is_ours(file.read())
    except OSError:
        return False
    return True


def _is_ours(text):
    """Whether JSON names a format of an audit."""
    try:
        found = json.loads(text)
    except ValueError:
        return False
    name = found.get("format") if isinstance(found, dict) else None
    return str(name).startswith("keras_asit ")


@contextlib.contextmanager
def replaced(path):
    """A text file to write that takes its name when it is whole."""
    with (
        whole_files.replacing(path, part=f"{path}.part") as part,
        open(part, "w", encoding="utf-8", newline="", errors="surrogateescape") as file,
    ):
        yield file


def write_findings(facts, findings, path):
    """Writes every finding of every clip: path, finding, detail."""
    rows = ((row, kind) for kind in KINDS for row in findings.rows[kind].tolist())
    _write_list(facts, findings, rows, path)


def write_dropped(facts, findings, dropped, path):
    """Writes the clips that the cleaned manifest lacks: path, finding, detail."""
    _write_list(facts, findings, dropped.items(), path)


def _write_list(facts, findings, rows, path):
    with replaced(path) as file:
        writer = csv.writer(file)
        writer.writerow(["path", "finding", "detail"])
        for row, kind in rows:
            writer.writerow([facts.name(row), kind, findings.detail(kind, row)])


def write_labels(class_names, path):
    """Writes the label CSV with which `read_manifest` gives classes their order."""
    with replaced(path) as file:
        writer = csv.writer(file)
        writer.writerow(["index", "mid", "display_name"])
        writer.writerows((i, name, name) for i, name in enumerate(class_names))
