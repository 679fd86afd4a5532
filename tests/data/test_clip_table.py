import tracemalloc

import pytest

from keras_asit.data import clip_table
from keras_asit.data.clip_table import ClipTable
from keras_asit.data.manifest_error import ManifestError

pytestmark = pytest.mark.backend_free


def problems_of(table):
    with pytest.raises(ManifestError) as error:
        table.manifest("here")
    assert error.value.source == "here"
    return error.value.problems


def test_blocks_make_a_manifest(tmp_path):
    table = ClipTable(tmp_path, allow_outside=False)
    table.add([1, 2], ["a", "b"], ["dog", "dog;cow"], {"fold": ["1", "2"]})
    table.add([3], ["c"], [("rain; heavy",)], {"fold": ["1"]})
    manifest = table.manifest("here")
    assert manifest.paths.tolist() == [f"{tmp_path}/{name}" for name in "abc"]
    assert manifest.labels.tolist() == [("dog",), ("dog", "cow"), ("rain; heavy",)]
    assert manifest.columns["fold"].tolist() == ["1", "2", "1"]


def test_equal_cells_are_one_object():
    table = ClipTable("/set", allow_outside=True)
    for block in range(2):
        labels, folds = ["".join(["d", "og"]), "dog;cow"], [f"fold {i}" for i in (1, 1)]
        table.add(
            [2 * block, 2 * block + 1], [f"{block}a", f"{block}b"], labels, {"f": folds}
        )
    manifest = table.manifest("here")
    assert len({id(label) for label in manifest.labels}) == 2
    assert manifest.labels[0][0] is manifest.labels[1][0]
    assert len({id(cell) for cell in manifest.columns["f"]}) == 1


def test_a_column_of_unique_cells_needs_no_table_of_them(monkeypatch):
    monkeypatch.setattr(clip_table, "_OFTEN_EQUAL", 4)
    column = clip_table._Column()
    for block in range(4):
        column.extend([f"{block} {i}" for i in range(4)])
    assert column._known is None
    assert column.cells == [f"{block} {i}" for block in range(4) for i in range(4)]


def test_problems_come_in_the_order_of_the_rows():
    table = ClipTable("/set", allow_outside=False, aliases={"dog": "dog"})
    table.name_row = "line {}".format
    table.problem("late", 9)
    table.add([4, 5], ["../a", "b"], ["cow", "cow"], {})
    table.problem("early", 2)
    table.problem("of the whole")
    problems = problems_of(table)
    assert problems[:2] == ["of the whole", "line 2: early"]
    assert problems[2].startswith("line 4: ../a lies outside /set")
    assert problems[3:] == [
        "line 4: unknown labels ['cow']",
        "line 5: unknown labels ['cow']",
        "line 9: late",
    ]


def test_a_clip_that_is_listed_twice():
    table = ClipTable("/set", allow_outside=False)
    table.add([1, 2, 3, 4], ["a", "b/../a", "b", "/set/a"], [""] * 4, {})
    assert problems_of(table) == [
        "row 2: a is also in row 1: it would count twice",
        "row 4: a is also in row 1: it would count twice",
    ]


def test_a_refused_path_is_refused_once():
    table = ClipTable("/set", allow_outside=False)
    table.add([1, 2, 3], ["../a", "../a", " "], [""] * 3, {})
    problems = problems_of(table)
    assert [problem[:5] for problem in problems] == ["row 1", "row 2", "row 3"]


@pytest.mark.parametrize("looked_up, found", [(9, [1, 2, 3]), (2, [1, 2])])
def test_links_of_clips_are_looked_up_in_small_sets(
    tmp_path, monkeypatch, looked_up, found
):
    """Those of folders always."""
    monkeypatch.setattr(clip_table, "_LINKS_LOOKED_UP", looked_up)
    root = tmp_path / "set"
    root.mkdir()
    (root / "out").symlink_to("..")
    (root / "c.wav").symlink_to("../secret.wav")
    table = ClipTable(root, allow_outside=False)
    table.add([1, 2, 3, 4], ["out/a.wav", "out/b.wav", "c.wav", "d.wav"], [""] * 4, {})
    problems = problems_of(table)
    assert [int(problem[4]) for problem in problems] == found
    assert problems[0].startswith(f"row 1: out/a.wav lies outside {root} by a link to ")
    allowed = ClipTable(root, allow_outside=True)
    allowed.add([1], ["c.wav"], [""], {})
    assert len(allowed.manifest("here")) == 1


def test_memory_for_each_row():
    """A path of 32 characters is a string of 81 bytes; all else is 8 bytes a cell."""
    rows = 20_000
    table = ClipTable("/set", allow_outside=False)
    tracemalloc.start()
    for first in range(0, rows, 1000):
        numbers = range(first, first + 1000)
        paths = [f"audio/{number:018}.wav" for number in numbers]
        columns = {name: [f"{n % 9}" for n in numbers] for name in "pqrs"}
        table.add(numbers, paths, [f"class {n % 50}" for n in numbers], columns)
    manifest = table.manifest("here")
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(manifest) == rows
    assert peak < 320 * rows
    del table
    assert held < 260 * rows


def test_names_of_columns():
    assert clip_table.header_problems(["path", "label", "fold"]) == []
    assert len(clip_table.header_problems(["label", "labels", "", "x", "x"])) == 4
