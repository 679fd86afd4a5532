"""All clips are looked at once, whatever happens in between."""

import json
import os

import numpy as np
import pytest

from keras_asit.audit import facts, measuring
from keras_asit.audit.facts import BROKEN, GOOD, MISSING
from keras_asit.audit.journal import Journal
from keras_asit.audit.measuring import HEADER, measure_clips
from keras_asit.data import Manifest, read_manifest

pytestmark = pytest.mark.backend_free


@pytest.fixture
def measured(monkeypatch):
    """The names of the files that were decoded, in any order."""
    names, real = [], facts.measure

    def counted(path):
        names.append(os.path.basename(path))
        return real(path)

    monkeypatch.setattr(facts, "measure", counted)
    return names


def measure(manifest, path, workers=2):
    with Journal(path, HEADER) as journal:
        return measure_clips(manifest, journal, workers, progress=False)


@pytest.fixture
def clips(write_set, noise):
    """Forty clips, one of them missing and one broken."""
    contents = {f"{i:02}.wav": noise(i, 0.1) for i in range(40)}
    contents.update({"05.wav": None, "06.wav": b"RIFF"})
    return read_manifest(write_set(contents))


def same(one, two):
    return (one.table == two.table).all() and one.reasons == two.reasons


def test_facts_of_all_clips(clips, tmp_path):
    found = measure(clips, tmp_path / "clips.jsonl")
    states = [GOOD] * 5 + [MISSING, BROKEN] + [GOOD] * 33
    assert found.table["state"].tolist() == states
    assert list(found.reasons) == [6]
    assert found.table["frames"][found.good].tolist() == [800] * 38
    lines = (tmp_path / "clips.jsonl").read_text().splitlines()
    assert json.loads(lines[0]) == HEADER
    paths = [json.loads(line)["path"] for line in lines[1:]]
    assert paths == [clips.paths[i] for i in range(40) if i != 5]


def test_workers_change_nothing(clips, tmp_path):
    one, four = (measure(clips, tmp_path / str(n), n) for n in (1, 4))
    assert same(one, four)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "4").read_bytes()


def test_a_second_run_decodes_nothing(clips, tmp_path, measured):
    first = measure(clips, tmp_path / "clips.jsonl")
    lines = (tmp_path / "clips.jsonl").read_bytes()
    assert len(measured) == 39
    measured.clear()
    assert same(first, measure(clips, tmp_path / "clips.jsonl"))
    assert measured == []
    assert (tmp_path / "clips.jsonl").read_bytes() == lines


@pytest.mark.parametrize("killed_at", [0.02, 0.3, 0.5, 0.999])
def test_a_killed_run_is_taken_up(clips, tmp_path, measured, killed_at):
    first = measure(clips, tmp_path / "clips.jsonl")
    lines = (tmp_path / "clips.jsonl").read_bytes()
    torn = lines[: int(killed_at * len(lines))]
    (tmp_path / "clips.jsonl").write_bytes(torn)
    measured.clear()
    assert same(first, measure(clips, tmp_path / "clips.jsonl"))
    assert len(measured) == 39 - max(0, torn.count(b"\n") - 1)
    assert (tmp_path / "clips.jsonl").read_bytes() == lines


def test_what_has_changed_is_looked_at_again(clips, tmp_path, measured):
    measure(clips, tmp_path / "clips.jsonl")
    measured.clear()
    os.utime(clips.paths[0], ns=(0, 10**18))
    for path in clips.paths[[5, 6]]:  # the missing and the broken one are mended
        os.link(clips.paths[1], f"{path}.new")
        os.replace(f"{path}.new", path)
    os.remove(clips.paths[7])
    found = measure(clips, tmp_path / "clips.jsonl")
    assert sorted(measured) == ["00.wav", "05.wav", "06.wav"]
    assert found.table["state"].tolist() == [GOOD] * 7 + [MISSING] + [GOOD] * 32
    assert found.reasons == {}
    assert found.seconds[7] == 0
    assert same(found, measure(clips, tmp_path / "clips.jsonl"))
    assert len(measured) == 3


def test_another_set_of_the_same_names_is_measured_anew(
    write_set, noise, tmp_path, measured
):
    """Also where the files are of the same size and time; the first one stays known."""
    sets = [
        read_manifest(write_set({"a.wav": noise(0, level=level)}, folder=folder))
        for folder, level in [("one", 0.3), ("two", 0.01)]
    ]
    for clips in sets:
        os.utime(clips.paths[0], ns=(0, 10**18))
    for clips, peak in [*zip(sets, (0.3, 0.01))] * 2:
        found = measure(clips, tmp_path / "clips.jsonl")
        assert found.table["peak"][0] == pytest.approx(peak, rel=0.05)
    assert measured == ["a.wav"] * 2


@pytest.mark.parametrize(
    "line",
    [
        {"path": "set/00.wav"},
        {"path": "set/00.wav", "size": "x", "mtime": 1, "error": "e"},
        {"path": 3},
        {"no": "path"},
        {"path": "another.wav", "size": 1, "mtime": 1, "error": "e"},
    ],
)
def test_damaged_lines_are_measured_again(clips, tmp_path, measured, line):
    first = measure(clips, tmp_path / "clips.jsonl")
    if line.get("path") == "set/00.wav":
        line = {**line, "path": clips.paths[0]}
    with open(tmp_path / "clips.jsonl", "a") as file:
        file.write(json.dumps(line) + "\n")
    measured.clear()
    assert same(first, measure(clips, tmp_path / "clips.jsonl"))
    assert len(measured) <= 1


def test_a_file_that_stands_twice_is_decoded_once(write_set, noise, tmp_path, measured):
    clips = read_manifest(write_set({"a.wav": noise(0), "b.wav": b"RIFF"}))
    paths = [*clips.paths, *clips.paths, clips.paths[0]]
    found = measure(Manifest(paths, root=clips.root), tmp_path / "clips.jsonl")
    assert sorted(measured) == ["a.wav", "b.wav"]
    assert found.table["state"].tolist() == [GOOD, BROKEN, GOOD, BROKEN, GOOD]
    assert len(set(found.table["audio"][[0, 2, 4]])) == 1
    assert list(found.reasons) == [1, 3]


def test_failures_that_may_pass_are_not_kept(clips, tmp_path, monkeypatch):
    def fail(path):
        raise MemoryError("much")

    with monkeypatch.context() as patched:
        patched.setattr(facts, "measure", fail)
        found = measure(clips, tmp_path / "clips.jsonl")
    assert not found.good.any() and len(found.reasons) == 39
    assert (tmp_path / "clips.jsonl").read_text().count("\n") == 1
    assert measure(clips, tmp_path / "clips.jsonl").good.sum() == 38


def test_a_link_that_leads_out_is_not_followed(write_set, noise, tmp_path, measured):
    clips = read_manifest(write_set({"a.wav": noise(0), "b.wav": noise(1)}))
    os.rename(clips.paths[1], tmp_path / "secret.wav")
    os.symlink(tmp_path / "secret.wav", clips.paths[1])
    found = measure(clips, tmp_path / "clips.jsonl")
    assert found.table["state"].tolist() == [GOOD, BROKEN]
    assert "outside" in found.reasons[1] and measured == ["a.wav"]


def test_ctrl_c_keeps_what_was_measured(clips, tmp_path, monkeypatch, measured):
    real, calls = measuring.look_at, []

    def interrupted(path, known=None):
        calls.append(path)
        return real(path, known)

    class Bar:
        """A progress bar at which Ctrl-C comes."""

        def __init__(self, *args, **kwargs):
            self.left = 20

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def __iter__(self):
            return iter(())

        def update(self):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(measuring, "look_at", interrupted)
        patched.setattr(measuring, "tqdm", Bar)
        with pytest.raises(KeyboardInterrupt):
            measure(clips, tmp_path / "clips.jsonl")
    kept = (tmp_path / "clips.jsonl").read_text().count("\n") - 1
    assert kept == 19  # 20 clips, one of them missing
    measured.clear()
    assert measure(clips, tmp_path / "clips.jsonl").good.sum() == 38
    assert len(measured) == 39 - kept


def test_a_million_rows_take_little_memory():
    table = facts.Facts(np.empty(1_000_000, object)).table
    assert table.nbytes <= 60e6
