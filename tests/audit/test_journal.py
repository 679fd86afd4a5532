"""A journal outlives whatever ends its writer."""

import pytest

from keras_asit.audit.journal import Journal

pytestmark = pytest.mark.backend_free

HEADER = {"format": "test, version 1"}
ENTRIES = [{"path": "ä\udcff.wav", "size": i, "share": 0.1 * i} for i in range(3)]


def entries(path, header=HEADER):
    with Journal(path, header) as journal:
        return list(journal.entries())


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "journal.jsonl"
    with Journal(path, HEADER) as journal:
        for entry in ENTRIES:
            journal.append(entry)
    return path


def test_entries_come_back(written):
    assert entries(written) == ENTRIES


def test_every_place_of_death(written):
    """Whatever part was written, the whole lines of it stay, and new ones fit on."""
    whole = written.read_bytes()
    first = len(whole.splitlines(keepends=True)[0])
    for end in range(len(whole)):
        written.write_bytes(whole[:end])
        lines = whole[:end].count(b"\n")
        assert entries(written) == ENTRIES[: max(0, lines - 1)]
        with Journal(written, HEADER) as journal:
            journal.append({"new": 1})
        assert entries(written)[-1] == {"new": 1}
        assert end < first or written.read_bytes().startswith(whole[:first])


def test_a_long_torn_line_is_cut(written):
    whole = written.read_bytes()
    written.write_bytes(whole + b"x" * 200_000)
    assert entries(written) == ENTRIES
    assert written.read_bytes() == whole


def test_damaged_lines_are_passed_over(written):
    lines = written.read_bytes().splitlines(keepends=True)
    lines[2:2] = [b"\xff\xfe\n", b"[1]\n", b"\n", b'{"path": \n']
    written.write_bytes(b"".join(lines))
    assert entries(written) == ENTRIES


def test_of_another_kind_it_begins_anew(written):
    other = {"format": "test, version 2"}
    assert entries(written, other) == []
    assert entries(written, other) == []
    assert written.read_text() == '{"format":"test, version 2"}\n'


def test_lines_reach_the_disk_while_it_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_asit.audit.journal._FLUSH_SECONDS", 0.0)
    with Journal(tmp_path / "j", HEADER) as journal:
        journal.append({"a": 1})
        assert (tmp_path / "j").read_text().endswith('{"a":1}\n')
