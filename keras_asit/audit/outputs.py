"""The files of an audit that list clips, and files that are written whole."""

import contextlib
import csv
import os

from keras_asit.audit.findings import KINDS


@contextlib.contextmanager
def replaced(path):
    """A text file to write that takes its name when it is whole."""
    part = f"{path}.part"
    with open(
        part, "w", encoding="utf-8", newline="", errors="surrogateescape"
    ) as file:
        yield file
    os.replace(part, path)


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
