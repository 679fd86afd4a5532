"""Files that are written whole, and lists of clips."""

import csv

import pytest

from keras_asit.audit.facts import Facts
from keras_asit.audit.findings import Findings
from keras_asit.audit.outputs import replaced, write_dropped, write_findings
from keras_asit.data import Manifest

pytestmark = pytest.mark.backend_free


def test_a_file_is_replaced_when_it_is_whole(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError), replaced(path) as file:
        file.write("half")
        raise RuntimeError("killed")
    assert path.read_text() == "old"
    with replaced(path) as file:
        file.write("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_lists_name_clips_as_the_system_does(tmp_path):
    """Also where a file name is not UTF-8, or holds what divides cells."""
    paths = ["/x/a\udcff.wav", '/x/b, "c".wav', "/y/d.wav"]
    facts = Facts(paths, "/x")
    for row in range(3):
        facts.set(row, None)
    findings = Findings(Manifest(paths), facts)
    write_findings(facts, findings, tmp_path / "findings.csv")
    write_dropped(facts, findings, {1: "missing"}, tmp_path / "dropped.csv")

    def rows(name):
        with open(
            tmp_path / name, newline="", encoding="utf-8", errors="surrogateescape"
        ) as file:
            return list(csv.reader(file))

    head = ["path", "finding", "detail"]
    missing = ["missing", "no such file"]
    assert rows("findings.csv") == [
        head,
        ["a\udcff.wav", *missing],
        ['b, "c".wav', *missing],
        ["/y/d.wav", *missing],
    ]
    assert rows("dropped.csv") == [head, ['b, "c".wav', *missing]]
