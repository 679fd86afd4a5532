"""Which clip goes into which shard: a permutation, cut into equal parts."""

import json

import numpy as np
import pytest

from keras_asit.data.manifest import Manifest
from keras_asit.data.shards import plan as plans
from keras_asit.data.shards.output import OutputFolder

pytestmark = pytest.mark.backend_free
pytest.importorskip("apache_beam")

SETTINGS = {"sample_rate": 8000, "shard_size": 4000, "seed": 3}
PATHS_ELSEWHERE = [f"/new/d {i % 3}/{i}.wav" for i in range(40)]


def manifest(clips=40, **changes):
    """Clips of 0.1 s: 1,600 bytes each, and 150 around them."""
    arguments = {
        "paths": [f"/data/d {i % 3}/{i}.wav" for i in range(clips)],
        "label_lists": [[f"class {i % 4}"] for i in range(clips)],
        "columns": {
            "duration_s": ["0.1"] * clips,
            "fold": [str(i) for i in range(clips)],
        },
        "root": "/data",
    }
    return Manifest(**arguments | changes)


def planned(folder, clips=None, **changes):
    clips = manifest() if clips is None else clips
    return plans.make_plan(clips, OutputFolder(folder), **SETTINGS | changes)


def rows_of(folder, plan):
    spans = zip(plan.starts, plan.starts[1:])
    return [plans.read_rows(OutputFolder(folder), *span) for span in spans]


def test_every_clip_is_in_one_shard(tmp_path):
    plan = planned(tmp_path)
    shards = rows_of(tmp_path, plan)
    assert plan.shards == len(shards) == 18  # 40 * 1,750 / 4,000, rounded up
    assert {len(rows) for rows in shards} == {2, 3}
    rows = [row for shard in shards for row in shard]
    assert plan.columns == ["path", "label", "duration_s", "fold", "clip"]
    assert sorted(int(row[-1]) for row in rows) == list(range(40))
    for path, label, duration, fold, clip in rows:
        assert path == f"d {int(clip) % 3}/{clip}.wav"
        assert (label, duration, fold) == (f"class {int(clip) % 4}", "0.1", clip)


def test_order_is_fixed_by_the_seed(tmp_path):
    order = {}
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        plan = planned(tmp_path / name, seed=seed)
        shards = rows_of(tmp_path / name, plan)
        order[name] = [int(row[-1]) for shard in shards for row in shard]
    expected = np.random.default_rng(3).permutation(40)
    assert order["a"] == order["b"] == expected.tolist()
    assert order["c"] != order["a"]


def test_plan_comes_back(tmp_path):
    plan = planned(tmp_path)
    folder = OutputFolder(tmp_path)
    assert plans.read_plan(folder) == plan
    plans.check_plan(plan, folder, manifest(), **SETTINGS)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sample_rate": 16000}, "sample_rate 8000, not 16000"),
        ({"shard_size": 4001}, "shard_size 4000, not 4001"),
        ({"seed": 4}, "seed 3, not 4"),
        ({"manifest": manifest(39)}, r"another manifest.*40 clips, now 39"),
        ({"manifest": manifest(root="/")}, "another manifest"),
        ({"manifest": manifest(class_names=list("dcba"))}, "another manifest"),
        ({"manifest": manifest(columns={"fold": ["1"] * 40})}, "another manifest"),
        ({"address": "gs://a/b"}, "clips in '/data', not 'gs://a/b'"),
        (
            {"manifest": manifest(paths=PATHS_ELSEWHERE, root="/new")},
            "clips in '/data', not '/new'",
        ),
    ],
)
def test_other_settings_are_refused(tmp_path, changes, said):
    plan, folder = planned(tmp_path), OutputFolder(tmp_path)
    with pytest.raises(ValueError, match=rf"was begun with {said}.* delete this one"):
        plans.check_plan(
            plan, folder, **{"manifest": manifest(), **SETTINGS, **changes}
        )


def test_moved_data_are_the_same_manifest():
    moved = manifest(paths=PATHS_ELSEWHERE, root="/new")
    assert plans.identity(moved) == plans.identity(manifest())


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": "other"}'])
def test_damaged_plan_is_refused(tmp_path, text):
    planned(tmp_path)
    (tmp_path / "plan" / "plan.json").write_text(text)
    with pytest.raises(ValueError, match="Expected a plan of asit shards"):
        plans.read_plan(OutputFolder(tmp_path))


@pytest.mark.parametrize(
    "changes",
    [{"starts": None}, {"starts": []}, {"starts": ["0", "1"]}, {"seed": "3"}],
)
def test_plan_with_other_values_is_refused(tmp_path, changes):
    planned(tmp_path)
    file = tmp_path / "plan" / "plan.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(ValueError, match="Expected a plan of asit shards"):
        plans.read_plan(OutputFolder(tmp_path))


def test_plan_with_rows_that_were_cut_short_is_refused(tmp_path):
    planned(tmp_path)
    rows = tmp_path / "plan" / "rows.csv"
    rows.write_bytes(rows.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"rows\.csv is of another size"):
        plans.read_plan(OutputFolder(tmp_path))


def test_columns_keep_clear_of_those_of_clips_csv(tmp_path):
    columns = {"clip": ["x", "y"], "shard": ["", "z"], "source_clip": ["p", None]}
    clips = Manifest(["/a 1", '/b,"2"'], [["m", "n"], []], columns=columns)
    plan = planned(tmp_path, clips)
    assert plan.columns == [
        *("path", "labels", "source_clip", "source_shard", "source_source_clip", "clip")
    ]
    rows = sorted(row for shard in rows_of(tmp_path, plan) for row in shard)
    assert rows == [
        ["/a 1", "m;n", "x", "", "p", "0"],
        ['/b,"2"', "", "y", "z", "", "1"],
    ]


@pytest.mark.parametrize(
    ("labels", "names", "said"),
    [
        ([["a;b"]], None, "class 'a;b': a `;` in it"),
        ([[" a"]], None, "class ' a': outer spaces"),
        ([["a\rb"]], None, r"class 'a\\rb': a line break"),
        ([["a"]], ["b"], "label 'a': expected one of the 1 classes"),
    ],
)
def test_labels_that_cannot_be_kept_are_refused(tmp_path, labels, names, said):
    with pytest.raises(ValueError, match=said):
        planned(tmp_path / "new", Manifest(["/1.wav"], labels, names))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("clips", "said"),
    [
        (Manifest(["/1.wav", "/caf\udce9.wav"]), r"row 1: .* UTF-8 .* path.*caf"),
        (Manifest(["/1\r.wav"]), "row 0: a line break in the column path"),
        (Manifest(["/1.wav"], columns={"note": ["x\ry"]}), "row 0: a line break"),
        (Manifest(["/1.wav"], columns={"note": ["\0"]}), r"row 0: .* column note"),
        (Manifest(["/1.wav"], columns={" a": ["1"]}), "column ' a': outer spaces"),
        (Manifest(["/1.wav", "/2.wav", "/1.wav"]), "row 2: /1.wav is also in row 0"),
    ],
)
def test_texts_that_cannot_be_kept_are_refused(tmp_path, clips, said):
    with pytest.raises(ValueError, match=said):
        planned(tmp_path / "new", clips)
    assert not (tmp_path / "new").exists()


def test_shards_are_of_about_one_size():
    sizes = np.random.default_rng(0).uniform(1, 20, 1000)
    counts = plans.cut(sizes, shard_size=200)
    assert sum(counts) == 1000
    sums = np.add.reduceat(sizes, np.cumsum([0, *counts[:-1]]))
    assert len(sums) == np.ceil(sizes.sum() / 200)
    assert sums.min() > 175 and sums.max() < 225


def test_clip_that_claims_more_than_a_shard():
    assert plans.cut(np.array([1.0, 1e18, 1.0]), shard_size=10) == [1, 2]


def test_index_says_nothing_of_paths_outside(tmp_path):
    """`shards.json` takes these over; and a folder can be moved before it is whole."""
    plan = planned(tmp_path)
    assert "/data" not in json.dumps(plan.manifest | {"columns": plan.columns})
    assert str(tmp_path) not in (tmp_path / "plan" / "plan.json").read_text()
