import pickle

import numpy as np
import pytest

from keras_asit.data.manifest import Manifest, ManifestError


def single():
    return Manifest(
        ["/d/a.wav", "/d/b.wav", "/d/c.wav"],
        [("rain",), ("dog",), ("rain",)],
        columns={"fold": ["1", "2", "3"], "speaker": ["x", "x", "y"]},
        root="/d",
    )


def test_columns_and_rows():
    manifest = single()
    assert len(manifest) == 3
    assert manifest.class_names == ["dog", "rain"]
    assert manifest.labels.tolist() == ["rain", "dog", "rain"]
    assert manifest.root == "/d"
    assert manifest.row(1) == {
        "path": "/d/b.wav",
        "label": "dog",
        "fold": "2",
        "speaker": "x",
    }


def test_targets_follow_the_class_names():
    targets = single().targets()
    assert targets.dtype == "int32"
    assert targets.tolist() == [1, 0, 1]
    assert single().targets(class_names=["rain", "cat", "dog"]).tolist() == [0, 2, 0]


def test_multi_hot_targets_of_none_one_and_many_labels():
    manifest = Manifest(["a", "b", "c"], [("x", "y"), (), ("y",)])
    assert manifest.labels.tolist() == [("x", "y"), (), ("y",)]
    targets = manifest.targets()
    assert targets.dtype == "float32"
    assert targets.tolist() == [[1, 1], [0, 0], [0, 1]]
    assert manifest.take([2]).targets().tolist() == [[0, 1]]
    assert single().targets(multi_label=True).tolist() == [[0, 1], [1, 0], [0, 1]]


def test_targets_name_every_clip_without_one_known_label():
    manifest = Manifest(["a", "b", "c"], [("x",), (), ("y",)], ["x"])
    with pytest.raises(ManifestError) as error:
        manifest.targets()
    assert error.value.problems == [
        "b: expected one label, received []",
        "c: ['y'] not among the 1 classes",
    ]


def test_targets_held_sparsely():
    manifest = Manifest(["a", "b", "c"], [("x", "y"), (), ("y",)])
    sparse = manifest.class_indices()
    assert [sparse.row(i).tolist() for i in range(3)] == [[0, 1], [], [1]]
    assert sparse[0].tolist() == [1, 1]
    assert manifest.class_indices(["z", "y", "x"]).row(0).tolist() == [2, 1]
    assert single().class_indices()[0] == 1
    assert single().class_indices(multi_label=True)[0].tolist() == [0, 1]
    with pytest.raises(ManifestError) as error:
        manifest.class_indices(["x"], multi_label=False)
    assert len(error.value.problems) == 4
    with pytest.raises(ValueError, match=r"twice: \['x'\]"):
        manifest.class_indices(["x", "y", "x"])


def test_what_clips_must_not_leave():
    manifest = Manifest(["/d/a.wav"], root="/d", allow_outside=False)
    for part in (manifest, manifest.take([0]), manifest.where(path="/d/a.wav")):
        assert part.confinement().holds("/d/b.wav")
        assert not part.confinement().holds("/e/b.wav")
    assert single().confinement() is None
    assert single().take([0]).confinement() is None
    with pytest.raises(ValueError, match="Expected a root"):
        Manifest(["/d/a.wav"], allow_outside=False)


def test_it_travels_between_processes():
    manifest = Manifest(
        ["/d/a", "/d/b"], [("x", "y"), ()], ["y", "x"], {"fold": "12"}, "/d", False
    )
    copy = pickle.loads(pickle.dumps(manifest))
    assert [copy.row(i) for i in range(2)] == [manifest.row(i) for i in range(2)]
    assert copy.class_names == ["y", "x"]
    assert (copy.root, copy.allow_outside, repr(copy)) == ("/d", False, repr(manifest))


@pytest.mark.parametrize("name", ["path", "label", "labels"])
def test_no_other_column_has_the_name_of_paths_or_labels(name):
    with pytest.raises(ValueError, match=f"Received: a column '{name}'"):
        Manifest(["a.wav"], columns={name: ["x"]})


def test_where_and_take_keep_the_classes():
    manifest = single()
    assert manifest.where(fold=2).paths.tolist() == ["/d/b.wav"]
    assert len(manifest.where(fold=["1", 3])) == 2
    assert len(manifest.where(fold=lambda fold: fold != "1", speaker="x")) == 1
    assert manifest.where(label="dog").class_names == ["dog", "rain"]
    assert manifest.take([2, 0]).columns["fold"].tolist() == ["3", "1"]
    assert len(manifest.take(np.array([True, False, True]))) == 2


def test_a_class_name_is_no_sequence_of_class_names():
    with pytest.raises(ValueError, match=r"Received: 'dog'. Write \('dog',\)"):
        Manifest(["a.wav", "b.wav"], ["dog", "cat"])


@pytest.mark.parametrize(
    "options, what",
    [
        ({"label_lists": [("dog",)]}, "label_lists"),
        ({"columns": {"fold": ["1", "2", "3"]}}, "column 'fold'"),
    ],
)
def test_labels_and_columns_are_as_many_as_paths(options, what):
    with pytest.raises(ValueError, match=f"Expected {what} .* each of 2 paths"):
        Manifest(["a.wav", "b.wav"], **options)


def test_where_says_what_there_is():
    with pytest.raises(ValueError, match=r"\['fold', 'label', 'path', 'speaker'\]"):
        single().where(split="train")
    with pytest.raises(ValueError, match=r"values \{'fold': \['1', '2', '3'\]\}"):
        single().where(fold="4")
    with pytest.raises(ValueError, match=r"No clip meets {'fold': 'a condition'}\."):
        single().where(fold=lambda fold: fold == "4")


def test_links_that_lead_out_are_listed(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    (tmp_path / "outside.wav").touch()
    for name in ("a.wav", "b.wav"):
        (folder / name).symlink_to(tmp_path / "outside.wav")
    (folder / "c.wav").touch()
    paths = [str(folder / name) for name in ("a.wav", "b.wav", "c.wav")]
    with pytest.raises(ManifestError) as error:
        Manifest(paths, root=str(folder), allow_outside=False).check_links()
    assert [problem.split()[0] for problem in error.value.problems] == paths[:2]
    Manifest(paths, root=str(folder)).check_links()
