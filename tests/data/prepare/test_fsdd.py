import shutil

from keras_asit.data import read_manifest
from keras_asit.data.prepare import fsdd


def test_clips_and_the_official_split(touch, rows_of, capsys):
    names = [f"recordings/{d}_theo_{i}.wav" for d in (0, 7) for i in (0, 4, 5, 49)]
    path = fsdd(touch(*names, "README.md"))
    rows = rows_of(path)
    assert list(rows) == sorted(names)
    assert rows["recordings/7_theo_4.wav"] == ("7", "test", "theo", "4")
    assert rows["recordings/7_theo_5.wav"] == ("7", "train", "theo", "5")
    assert "8 clips: test 4, train 4" in (told := capsys.readouterr().err)
    assert "test has 4 clips, officially 300" in told


def test_real_recordings(data_root, tmp_path, capsys):
    """The same split, speaker and number as the manifest made by hand."""
    path = fsdd(data_root / "fsdd", out=tmp_path / "fsdd.csv")
    ours = read_manifest(path, allow_outside=True)
    theirs = read_manifest(data_root / "fsdd" / "manifest.csv")
    number = {path: i for i, path in enumerate(theirs.paths)}
    theirs = theirs.take([number[path] for path in ours.paths])
    assert len(ours) == len(number) == 3000
    assert ours.labels.tolist() == theirs.labels.tolist()
    for name in ("split", "speaker", "index"):
        assert ours.columns[name].tolist() == theirs.columns[name].tolist()
    assert "officially" not in capsys.readouterr().err


def test_every_problem_is_listed(touch, tmp_path, problems_of):
    assert "expected the folder recordings/" in problems_of(fsdd, tmp_path)[0]
    folder = touch("recordings/seven.wav", "recordings/7_theo_0.wav")
    touch("recordings/7_theo_0.flac", "recordings/7_theo_x.wav")
    problems = problems_of(fsdd, folder)
    assert len(problems) == 3
    assert "seven.wav: expected a name such as" in problems[2]
    assert not (folder / "manifest.csv").exists()
    shutil.rmtree(folder / "recordings")
    (folder / "recordings").mkdir()
    assert "found none" in problems_of(fsdd, folder)[0]
