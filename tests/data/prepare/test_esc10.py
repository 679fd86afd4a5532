import pytest

from keras_asit.data import Manifest, read_manifest
from keras_asit.data.prepare import check_esc10, esc10

CLASSES = [f"class {number}" for number in range(10)]
OLD = [
    f"{label + 1:03} - {name}/{fold}-{fold}{label}-A.ogg"
    for label, name in enumerate(CLASSES)
    for fold in range(1, 6)
]


def write_table(touch, on_disk=lambda name: True):
    """ESC-50 with an eleventh class that is not of ESC-10."""
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for label, name in enumerate([*CLASSES, "other"]):
        for fold in range(1, 6):
            file, source = f"{fold}-{fold}{label}-A-{label}.wav", f"{fold}{label}"
            lines.append(f"{file},{fold},{label},{name},{label < 10},{source},A")
            if on_disk(name):
                touch(f"audio/{file}")
    folder = touch("meta/esc50.csv")
    (folder / "meta" / "esc50.csv").write_text("\n".join([*lines, ""]))
    return folder


def test_class_folders(touch, rows_of, capsys):
    path = esc10(touch(*OLD, "README.md", "code/1-1-A.wav"))
    assert path.name == "esc10.csv"
    rows = rows_of(path)
    assert list(rows) == OLD
    assert rows[OLD[7]] == ("class 1", "3", "31")
    assert "fold 1 has 10 clips, officially 80" in capsys.readouterr().err


@pytest.mark.parametrize("part", [True, False])
def test_esc50_and_a_part_of_it(part, touch, rows_of):
    """The clips of the other classes may be there, or not."""
    folder = write_table(touch, on_disk=lambda name: part or name != "other")
    touch("manifest.csv")  # may be that of ESC-50
    rows = rows_of(esc10(folder))
    assert len(rows) == 50
    assert rows["audio/3-37-A-7.wav"] == ("class 7", "3", "37")


def test_real_recordings(data_root, tmp_path, capsys):
    """The same labels, folds and recordings as the manifest made by hand."""
    ours = esc10(data_root / "esc10" / "audio", out=tmp_path / "esc10.csv")
    ours = read_manifest(ours, allow_outside=True)
    theirs = read_manifest(data_root / "esc10")
    assert ours.paths.tolist() == theirs.paths.tolist()
    assert ours.labels.tolist() == theirs.labels.tolist()
    assert ours.columns["fold"].tolist() == theirs.columns["fold"].tolist()
    groups = [f"freesound:{group}" for group in ours.columns["group"]]
    assert groups == theirs.columns["group"].tolist()
    assert "officially" not in capsys.readouterr().err


def test_every_problem_is_listed(touch, tmp_path, problems_of):
    assert "found neither" in problems_of(esc10, tmp_path)[0]
    folder = touch(*OLD, "001 - class 0/bark.ogg", "001 - class 0/1-10-A.wav")
    problems = problems_of(esc10, folder)
    assert len(problems) == 2
    assert "bark.ogg: expected a name such as 1-100032-A.ogg" in problems[1]


def test_a_recording_in_two_folds(touch, problems_of):
    folder = touch(*OLD, "001 - class 0/2-10-B.ogg")
    (problem,) = problems_of(esc10, folder)
    assert "recording 10 has clips in the folds 1 and 2" in problem
    assert not (folder / "esc10.csv").exists()


def test_an_incomplete_download(touch, problems_of):
    (problem,) = problems_of(esc10, touch(*OLD[:45]))
    assert "Expected 10 classes and 5 folds" in problem
    (problem,) = problems_of(esc10, touch(*OLD[45:], "011 - class 10/1-7-A.ogg"))
    assert "Expected 10 classes and 5 folds" in problem


def test_the_check_of_any_manifest(problems_of):
    labels = [(name,) for name in CLASSES for _ in range(5)]
    folds = ["1", "2", "3", "4", "5"] * 10
    check_esc10(Manifest(OLD, labels, columns={"fold": folds}))
    assert problems_of(check_esc10, Manifest(OLD, labels))
    swapped = ["2", "1", *folds[2:]]
    clips = Manifest(
        [*OLD, "1-10-B.ogg"], [*labels, labels[0]], columns={"fold": [*swapped, "1"]}
    )
    (problem,) = problems_of(check_esc10, clips)
    assert "recording 10 has clips in the folds 2 and 1" in problem
