import gzip
import os

import pytest

from keras_asit.data.csv_source import csv_rows
from keras_asit.data.manifest_error import ManifestError
from keras_asit.data.sources import read_manifest

pytestmark = pytest.mark.backend_free


def write(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def problems_of(path, **kwargs):
    with pytest.raises(ManifestError) as error:
        read_manifest(path, **kwargs)
    return error.value.problems


def test_paths_labels_and_columns(tmp_path):
    text = "path,label,fold\na b.wav,dog,1\nsub/c.wav,,2\n"
    manifest = read_manifest(write(tmp_path / "m.csv", text))
    assert manifest.paths[0] == os.path.join(tmp_path, "a b.wav")
    assert manifest.labels.tolist() == ["dog", ""]
    assert manifest.columns["fold"].tolist() == ["1", "2"]
    assert manifest.root == str(tmp_path)


def test_many_labels_and_none(tmp_path):
    text = "path,labels\na.wav, dog;rain ;;dog\nb.wav,\n"
    manifest = read_manifest(write(tmp_path / "m.csv", text))
    assert manifest.labels.tolist() == [("dog", "rain"), ()]
    manifest = read_manifest(write(tmp_path / "n.csv", "path\na.wav\n"))
    assert manifest.labels.tolist() == [""]


def test_forms_of_a_csv(tmp_path):
    """A byte order mark, spaces in the header, blank lines, quotes, other line ends."""
    text = '\ufeffpath , label\r\n\r\n"a,""1"".wav",x\r\n b.wav ,y\r\n'
    manifest = read_manifest(write(tmp_path / "m.csv", text))
    names = [os.path.relpath(path, tmp_path) for path in manifest.paths]
    assert names == ['a,"1".wav', "b.wav"]
    assert manifest.labels.tolist() == ["x", "y"]


def test_spaces_around_cells_are_no_part_of_them(tmp_path):
    text = "path, label, fold\na.wav, dog, 1\n b.wav, dog,1\n"
    manifest = read_manifest(write(tmp_path / "m.csv", text))
    assert manifest.where(fold=1, label="dog").paths.tolist() == [
        str(tmp_path / "a.wav"),
        str(tmp_path / "b.wav"),
    ]


def test_a_column_of_labels_is_multi_label(tmp_path):
    """Also when the clips with several were left out."""
    text = "path,labels\na.wav,x;y\nb.wav,x\nc.wav,\n"
    manifest = read_manifest(write(tmp_path / "m.csv", text)).take([1, 2])
    manifest.write_csv(tmp_path / "part.csv")
    part = read_manifest(tmp_path / "part.csv", labels=["x", "y"])
    assert part.is_multi_label and part.take([1]).is_multi_label
    assert part.targets().tolist() == [[1, 0], [0, 0]]
    text = "path,label\na.wav,x\n"
    assert not read_manifest(write(tmp_path / "m.csv", text)).is_multi_label


@pytest.mark.parametrize(
    "rows, wanted",
    [
        # To the end of the file, or to the next quote; what comes after is read.
        ('b,"x\nc,y\nd,z\n', ["line 3: not a readable CSV: unexpected end of data"]),
        (
            'b,"x\nc,"y"\nd,z\n,w\n',
            ["line 3: not a readable CSV: ',' expected", "line 6: the path is empty"],
        ),
        ('b,"12" vinyl\n', ["line 3: not a readable CSV: ',' expected"]),
        ('b,"x\nc,"\n', [r"line 3: a line break in the labels ['x\nc,']"]),
        ('"b\rc",x\n', [r"line 3: a line break in the path 'b\rc'"]),
    ],
)
def test_quotes_that_are_not_closed(tmp_path, rows, wanted):
    problems = problems_of(write(tmp_path / "m.csv", "path,label\na,x\n" + rows))
    assert len(problems) == len(wanted)
    assert all(map(str.startswith, problems, wanted))


def test_line_breaks_in_other_cells_and_in_the_header(tmp_path):
    path = write(tmp_path / "m.csv", 'path,"no\nte"\na,"b\nc"\n')
    problems = problems_of(path)
    assert problems[0] == r"a line break in the name of column 2, 'no\nte'"
    assert problems[1].endswith(r"'b\nc'") and len(problems) == 2


def test_rows_are_named_by_their_first_line(tmp_path):
    text = 'path\n\n"a\nb"\n\nc\n'
    assert list(csv_rows(write(tmp_path / "m.csv", text), None)) == [
        (1, ["path"]),
        (3, ["a\nb"]),
        (6, ["c"]),
    ]


def test_all_kinds_of_problems_at_once_in_the_order_of_the_rows(tmp_path):
    lines = [
        b"path,label,fold,fold,",
        b"a.wav,x,1,1,",
        b",x,1,1,",
        b"../b.wav,y,1,1,",
        b"c.wav,x",
        b"d,1.wav,x,1,1,",
        b"caf\xe9.wav,x,1,1,",
        b"e\0.wav,x,1,1,",
        b"a.wav,x;y;z,2,2,",
        b"link/f.wav,x,1,1,",
    ]
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "link").symlink_to(tmp_path)
    path = write(tmp_path / "set" / "m.csv", b"\n".join(lines))
    problems = problems_of(path, labels=["x"])
    wanted = [
        ("column 5 has no name", ""),
        ("2 columns are called 'fold'", ""),
        ("line 3: ", "the path is empty"),
        ("line 4: ", "../b.wav lies outside"),
        ("line 4: ", "unknown labels ['y']"),
        ("line 5: ", "expected 5 fields, received 2"),
        ("line 6: ", "expected 5 fields, received 6: is a comma not in quotes?"),
        ("line 7: ", "byte 0xe9 after 'caf' is not UTF-8: save the file as UTF-8"),
        ("line 8: ", "a NUL byte"),
        ("line 9: ", "unknown labels ['y', 'z']"),
        ("line 9: ", "a.wav is also in line 2: it would count twice"),
        ("line 10: ", "by a link to"),
    ]
    assert len(problems) == len(wanted)
    for problem, (start, part) in zip(problems, wanted):
        assert problem.startswith(start) and part in problem


def test_names_of_columns(tmp_path):
    problems = problems_of(write(tmp_path / "m.csv", "file,label,labels\na,b,c\n"))
    assert problems == [
        "expected a column `path`, received the columns ['file', 'label', 'labels']",
        "columns `label` and `labels`: expected one of them",
    ]


def test_rows_are_counted_even_without_a_path(tmp_path):
    problems = problems_of(write(tmp_path / "m.csv", "file,label\na,b\nc\n"))
    assert problems[1:] == ["line 3: expected 2 fields, received 1"]


@pytest.mark.parametrize(
    "content, problem",
    [
        (b"", "expected a column `path`"),
        (b"path,label\n", "no rows: expected at least one clip"),
        (b"path;label\na.wav;x\n", "divided by ';': save it as a CSV with commas"),
        (b"path\tlabel\na.wav\tx\n", r"divided by '\t'"),
        ("path,label\n".encode("utf-16"), "text in UTF-8, received UTF-16"),
        ("path,label\n".encode("utf-16-le"), "received UTF-16 or no text"),
        (gzip.compress(b"path\na.wav\n"), "received compressed by gzip"),
        (b"PK\3\4 workbook", "a zip archive or an Excel workbook"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "received audio"),
        (b'{"data": []}', "has to end in .json"),
        (bytes(10_000), "no text"),
        (b'path\n"' + b"a" * 200_000, "line 2: not a readable CSV: field larger"),
        (b'path,label\n"a.wav,x\nb.wav,y\n', "unexpected end of data. Is a quote not"),
        (b'path,label\n"a.wav,x\nb.wav,y"\n', "over several lines: is a quote not"),
    ],
)
def test_what_is_no_csv(tmp_path, content, problem):
    (found,) = problems_of(write(tmp_path / "m.csv", content))
    assert problem in found


def test_a_header_that_is_not_utf8_is_still_the_header(tmp_path):
    path = write(tmp_path / "m.csv", b"path,\xe9\na.wav,1\nb.wav,2\n")
    (problem,) = problems_of(path)
    assert problem.startswith("line 1: byte 0xe9")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    path = write(tmp_path / "m.csv", "path\na.wav\n")

    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    assert problems_of(path) == ["not a readable CSV: Permission denied"]


def test_errors_can_be_printed(tmp_path):
    path = write(
        tmp_path / "m.csv", b"path,a\nx\x1b[2J.wav,1,2\n../\x1b[2J,1\n../\xff,1\n"
    )
    with pytest.raises(ManifestError) as error:
        read_manifest(path)
    assert len(error.value.problems) == 3
    assert "\x1b" not in str(error.value)
    str(error.value).encode()
