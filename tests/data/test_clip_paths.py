import os

import pytest

from keras_asit.data.clip_paths import Confinement, resolve

pytestmark = pytest.mark.backend_free


@pytest.fixture
def tree(tmp_path):
    """Clips inside, a folder outside, and links of every kind."""
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    (inside / "dog").mkdir(parents=True)
    outside.mkdir()
    for file in (inside / "dog" / "1.wav", outside / "secret.wav"):
        file.write_text("x")
    (inside / "to_dog").symlink_to("dog")
    (inside / "to_root").symlink_to("../inside")
    (inside / "to_outside").symlink_to("../outside")
    (inside / "dog" / "link_inside.wav").symlink_to("1.wav")
    (inside / "dog" / "link_outside.wav").symlink_to("../../outside/secret.wav")
    (inside / "dog" / "absolute.wav").symlink_to(outside / "secret.wav")
    (inside / "dog" / "chain.wav").symlink_to("link_outside.wav")
    (inside / "dog" / "nowhere.wav").symlink_to("gone.wav")
    (inside / "dog" / "round.wav").symlink_to("round.wav")
    (tmp_path / "inside_too").mkdir()
    (inside / "to_sibling").symlink_to("../inside_too")
    (tmp_path / "by_link").symlink_to("inside")
    return tmp_path


@pytest.mark.parametrize(
    "path, held",
    [
        ("inside/dog/1.wav", True),
        ("inside/dog/absent.wav", True),
        ("inside/absent/absent.wav", True),
        ("inside/to_dog/1.wav", True),
        ("inside/to_root/dog/1.wav", True),
        ("inside/dog/link_inside.wav", True),
        ("inside/dog/nowhere.wav", True),
        ("inside/dog/round.wav", True),
        ("inside/dog/link_outside.wav", False),
        ("inside/dog/absolute.wav", False),
        ("inside/dog/chain.wav", False),
        ("inside/to_dog/link_outside.wav", False),
        ("inside/to_outside/secret.wav", False),
        ("inside/to_outside/absent/deep/absent.wav", False),
        ("inside/to_sibling/1.wav", False),  # a name that only begins alike
        ("inside/to_root/to_outside/secret.wav", False),
        ("inside_too/1.wav", False),
        ("outside/secret.wav", False),
    ],
)
def test_links_are_followed(tree, path, held):
    confinement = Confinement(tree / "inside")
    assert confinement.holds(str(tree / path)) is held
    assert confinement.holds(str(tree / path)) is held  # as remembered
    real = os.path.realpath(tree / path)
    assert real.startswith(str(tree / "inside") + os.sep) is held  # the long way


def test_a_root_behind_a_link_is_fine(tree):
    confinement = Confinement(tree / "by_link")
    assert confinement.holds(str(tree / "by_link" / "dog" / "1.wav"))
    assert confinement.holds(str(tree / "inside" / "dog" / "1.wav"))
    assert not confinement.holds(str(tree / "by_link" / "to_outside" / "secret.wav"))


def test_everything_is_below_the_root_of_all():
    assert Confinement("/").holds("/a.wav")
    assert Confinement("/").holds_name("/a.wav")


def test_a_folder_is_looked_up_once(tree, monkeypatch):
    looked_up = []
    islink = os.path.islink
    monkeypatch.setattr(os.path, "islink", lambda p: looked_up.append(p) or islink(p))
    confinement = Confinement(tree / "inside")
    for i in range(9):
        assert confinement.holds(str(tree / "inside" / "dog" / f"{i}.wav"))
    assert looked_up.count(str(tree / "inside" / "dog")) == 1
    assert len(looked_up) == 10


def test_a_path_of_a_thousand_folders():
    assert Confinement("/data").holds("/data" + "/a" * 2000)
    assert not Confinement("/data").holds("/datum" + "/a" * 2000)


def test_a_refusal_says_why(tree):
    confinement = Confinement(tree / "inside")
    by_name = confinement.refusal(str(tree / "outside" / "secret.wav"))
    assert by_name.startswith(f"lies outside {tree / 'inside'}: if you trust it")
    assert "allow_outside=True" in by_name
    by_link = confinement.refusal(str(tree / "inside" / "dog" / "chain.wav"))
    assert f"by a link to {tree / 'outside' / 'secret.wav'}" in by_link


@pytest.mark.parametrize(
    "paths",
    [
        ["a.wav", "b/c d.wav", "~x.wav", "ü.wav", "a..wav"],
        ["/x/a.wav", "/y/b.wav"],
        ["a.wav", "/x/b.wav"],
        ["../a.wav", "b/../../c.wav"],
        ["./a.wav", "b//c.wav", "b/./c.wav", "d/"],
        [".hidden.wav", "b/.hidden/c.wav"],
        ["", "a.wav"],
        ["/x//a.wav"],
        ["/x/../a.wav"],
        [],
    ],
)
def test_paths_resolve_as_those_of_os(paths):
    for root in ("/data/set", "/"):
        expected = [os.path.normpath(os.path.join(root, path)) for path in paths]
        assert resolve(paths, root) == expected
