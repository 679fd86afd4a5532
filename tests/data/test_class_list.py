import numpy as np
import pytest

from keras_asit.data.class_list import read_class_list
from keras_asit.data.manifest_error import ManifestError

pytestmark = pytest.mark.backend_free


def write(folder, text):
    path = folder / "labels.csv"
    path.write_bytes(text.encode())
    return path


def problems_of(labels):
    with pytest.raises(ManifestError) as error:
        read_class_list(labels)
    return error.value.problems


def test_a_label_csv_in_any_order(tmp_path):
    text = (
        '\ufeffindex,mid,display_name,more\n1,/m/a,"Rain, heavy",\n\n0,/m/b, Bark ,x\n'
    )
    names, aliases = read_class_list(write(tmp_path, text))
    assert names == ["Bark", "Rain, heavy"]
    assert aliases == {
        "Bark": "Bark",
        "/m/b": "Bark",
        "Rain, heavy": "Rain, heavy",
        "/m/a": "Rain, heavy",
    }


def test_a_list_of_names():
    assert read_class_list(None) == (None, None)
    assert read_class_list(["dog", "cow"]) == (
        ["dog", "cow"],
        {"dog": "dog", "cow": "cow"},
    )
    assert read_class_list(np.array(["dog"]))[0] == ["dog"]
    assert read_class_list(range(2))[0] == ["0", "1"]
    assert problems_of(["dog", "", " cow", "dog"]) == [
        "class 'dog' is there 2 times",
        "class '': no letter in it",
        "class ' cow': outer spaces in it",
    ]
    assert problems_of(["a\nb"]) == [r"class 'a\nb': a line break in it"]


def test_all_problems_of_a_label_csv_at_once(tmp_path):
    lines = [
        "index,mid,display_name",
        "0,/m/a,A",
        "one,/m/b,B",
        ",/m/c,C",
        "0,/m/d,D",
        "-1,/m/e,E",
        "5,/m/a,",
        "6,/m/f,A",
        "7,/m/g,G, with a comma",
        "8",
    ]
    assert problems_of(write(tmp_path, "\n".join(lines))) == [
        "line 3: expected a whole number as index, received 'one'",
        "line 4: expected a whole number as index, received ''",
        "line 4: the index is empty",
        "line 5: index '0' is also in line 2",
        "line 6: expected a whole number as index, received '-1'",
        "line 7: mid '/m/a' is also in line 2",
        "line 7: the display_name is empty",
        "line 8: display_name 'A' is also in line 2",
        "line 9: expected 3 fields, received 4: is a comma not in quotes?",
        "line 10: expected 3 fields, received 1",
    ]


def test_a_line_break_in_a_name(tmp_path):
    text = 'index,mid,display_name\n0,/m/a,"A\nB"\n1,/m/b,"C\n2,/m/c,D\n'
    assert problems_of(write(tmp_path, text)) == [
        r"line 2: a line break in the display_name 'A\nB'",
        "line 4: not a readable CSV: unexpected end of data. Is a quote not closed?",
    ]


def test_an_index_left_out(tmp_path):
    text = "index,mid,display_name\n0,/m/a,A\n3,/m/b,B\n01,/m/c,C\n"
    assert problems_of(write(tmp_path, text)) == [
        "expected the indices 0 to 2 of 3 classes; missing are [2]"
    ]


def test_the_same_index_written_twice(tmp_path):
    text = "index,mid,display_name\n0,/m/a,A\n00,/m/b,B\n"
    assert problems_of(write(tmp_path, text)) != []


@pytest.mark.parametrize(
    "text, problem",
    [
        ("", "a label CSV with the columns index,mid,display_name, received []"),
        ("index,name\n", "received ['index', 'name']"),
        ("index,mid,mid,display_name\n", "received ['index', 'mid', 'mid', "),
        ("index,mid,display_name\n", "no rows: expected at least one class"),
    ],
)
def test_what_is_no_label_csv(tmp_path, text, problem):
    (found,) = problems_of(write(tmp_path, text))
    assert problem in found


def test_a_label_csv_that_is_no_text(tmp_path):
    path = write(tmp_path, "")
    path.write_bytes(b"index,mid,display_name\n0,/m/a,caf\xe9\n")
    (problem,) = problems_of(path)
    assert problem.startswith("line 2: byte 0xe9 after '0,/m/a,caf' is not UTF-8")
    assert problems_of(tmp_path) == ["no such label CSV"]
