import numpy as np
import pytest

from keras_asit.data.manifest_error import ManifestError
from keras_asit.data.targets import Targets, names_of, targets_of

pytestmark = pytest.mark.backend_free


def many():
    return targets_of(
        "abcd", [("x", "z"), (), ("y",), ("z", "y", "x")], list("xyz"), True
    )


def test_rows_by_hand():
    targets = many()
    assert targets.indptr.tolist() == [0, 2, 2, 3, 6]
    assert targets.indices.tolist() == [0, 2, 1, 2, 1, 0]
    assert [targets.row(i).tolist() for i in range(4)] == [[0, 2], [], [1], [2, 1, 0]]
    dense = [[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]]
    assert targets.dense().tolist() == dense
    assert [target.tolist() for target in targets] == dense


def test_shapes_and_dtypes():
    targets = many()
    assert (len(targets), targets.shape, targets.dtype) == (4, (3,), "float32")
    assert targets[0].dtype == targets.dense().dtype == "float32"
    assert (targets.indptr.dtype, targets.indices.dtype) == ("int64", "int32")
    single = targets_of("ab", ["y", "x"], ["x", "y", "z"], False)
    assert (len(single), single.shape, single.dtype) == (2, (), "int32")
    assert single[0].dtype == single.dense().dtype == "int32"
    assert (single[0], single[1], single.dense().tolist()) == (1, 0, [1, 0])
    assert single.row(0).tolist() == [1]


def test_a_class_without_clips_has_its_place():
    targets = targets_of("a", [()], list("xyz"), True)
    assert targets.dense().shape == (1, 3)
    assert targets_of([], [], list("xyz"), True).dense().shape == (0, 3)
    assert targets_of([], [], list("xyz"), False).dense().shape == (0,)


def test_a_name_twice_in_a_label_counts_once():
    targets = targets_of("a", [("x", "x")], ["x"], True)
    assert targets.indices.tolist() == [0]


def test_no_clip_beyond_the_last():
    targets = many()
    for index in (-1, 4):
        with pytest.raises(IndexError, match="below 4"):
            targets[index]


def test_every_clip_at_fault_is_named():
    labels = [("x",), (), ("x", "q"), ("y", "r")]
    with pytest.raises(ManifestError) as error:
        targets_of("abcd", labels, ["x", "y"], False)
    assert error.value.problems == [
        "b: expected one label, received []",
        "c: expected one label, received ['x', 'q']",
        "c: ['q'] not among the 2 classes",
        "d: expected one label, received ['y', 'r']",
        "d: ['r'] not among the 2 classes",
    ]
    with pytest.raises(ManifestError) as error:
        targets_of("abcd", labels, ["x", "y"], True)
    assert len(error.value.problems) == 2


def test_class_names_differ():
    with pytest.raises(ValueError, match=r"twice: \['x'\]"):
        targets_of("a", ["x"], ["x", "y", "x"], False)


def test_as_many_as_of_audioset_take_little():
    clips, classes = 200_000, 527
    numbers = np.random.default_rng(0).integers(classes, size=2 * clips)
    targets = Targets(np.arange(0, 2 * clips + 1, 2), numbers, classes, True)
    assert targets.indptr.nbytes + targets.indices.nbytes < 17 * clips
    assert targets[clips - 1].sum() in (1, 2)


def test_names_of_labels():
    assert names_of("x") == ("x",)
    assert names_of("") == ()
    assert names_of(("x", "y")) == ("x", "y")
