import pytest

from keras_asit.data.manifest_text import cell_fault, is_text, name_fault, printable

pytestmark = pytest.mark.backend_free


@pytest.mark.parametrize("text", ["", "a.wav", "é", "日本", "\U0001f415", "two\nlines"])
def test_texts(text):
    assert is_text(text)


@pytest.mark.parametrize("text", ["\0", "a\0b", "é\0", "caf\udce9", "\ud800"])
def test_what_is_none(text):
    assert not is_text(text)


@pytest.mark.parametrize(
    ("text", "of_cell", "of_name"),
    [
        ("a b", "", ""),
        ("", "", "no letter"),
        (" a", "", "outer spaces"),
        ("a\nb", "a line break", "a line break"),
        ("a\r", "a line break", "a line break"),
        ("\0", "a NUL byte or", "a NUL byte or"),
        ("caf\udce9", "a NUL byte or", "a NUL byte or"),
    ],
)
def test_faults_of_cells_and_names(text, of_cell, of_name):
    for found, wanted in [(cell_fault(text), of_cell), (name_fault(text), of_name)]:
        assert found.startswith(wanted) and bool(found) == bool(wanted)


def test_what_an_error_shows():
    assert printable(" a") == "' a'"
    assert printable("dög 1.wav") == "dög 1.wav"
    assert printable("a\x1b[2Jb\0\udcff\n") == r"'a\x1b[2Jb\x00\udcff\n'"
    assert printable("x" * 1000) == "x" * 200 + "..."
