import pytest

from keras_asit.data.prepare import walking


def walk(folder, **kwargs):
    return list(walking.audio_files(folder, "set", **kwargs))


def test_files_come_sorted_and_before_the_subfolders(touch):
    folder = touch("b.wav", "a/2.FLAC", "a/1.wav", "a/deep/0.ogg", "z.mp3", "n.txt")
    expected = ["b.wav", "z.mp3", "a/1.wav", "a/2.FLAC", "a/deep/0.ogg"]
    assert walk(folder) == expected
    assert walk(folder, below=["a/deep"]) == ["a/deep/0.ogg"]


def test_hidden_names_are_left_out(touch):
    folder = touch("a/1.wav", "a/._1.wav", "__MACOSX/a/1.wav", ".git/1.wav")
    assert walk(folder) == ["a/1.wav"]


def test_files_of_other_formats_are_told(touch, capsys):
    folder = touch("1.wav", "a/2.M4A", "b/3.webm", "b/4.txt")
    assert walk(folder) == ["1.wav"]
    assert capsys.readouterr().err == (
        "set: files of other formats, not read: convert them to flac or wav: 2 "
        "(a/2.M4A, b/3.webm)\n"
    )


def test_a_link_elsewhere_is_followed_and_told(touch, tmp_path, capsys):
    touch("disk/2.wav", "set/1.wav")
    (tmp_path / "set" / "more").symlink_to(tmp_path / "disk")
    assert walk(tmp_path / "set") == ["1.wav", "more/2.wav"]
    assert "set: more leads out of the folder" in capsys.readouterr().err


@pytest.mark.parametrize("target", ["set", "set/a", "."])
def test_a_link_back_has_an_end(target, touch, tmp_path, capsys):
    touch("set/a/1.wav")
    (tmp_path / "set" / "again").symlink_to(tmp_path / target)
    assert walk(tmp_path / "set") == ["a/1.wav"]
    assert "again is a link to what is read anyway" in capsys.readouterr().err


def test_two_trees_that_link_to_each_other_have_an_end(touch, tmp_path):
    touch("set/a/1.wav", "disk/2.wav")
    (tmp_path / "set" / "more").symlink_to(tmp_path / "disk")
    (tmp_path / "disk" / "back").symlink_to(tmp_path / "set")
    assert walk(tmp_path / "set") == ["a/1.wav", "more/2.wav"]


def test_two_files_of_one_clip_are_a_problem():
    problems = []
    found = walking.by_stem(["a/1.wav", "a/2.wav.wav", "a/1.flac"], problems)
    assert found == {"a/1": "a/1.wav", "a/2.wav": "a/2.wav.wav"}
    assert problems == ["a/1.wav and a/1.flac are one clip: keep one of them"]
