"""A CSV to a table of clips."""

import csv
from itertools import islice

from keras_asit.data.clip_table import BLOCK, header_problems
from keras_asit.data.manifest_error import ManifestError
from keras_asit.data.manifest_text import is_text, printable

_BEGINNINGS = {
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\x1f\x8b": "compressed by gzip",
    b"RIFF": "audio",
    b"fLaC": "audio",
    b"OggS": "audio",
    b"{": "JSON, whose name has to end in .json",
}
_LOOKED_AT = 4096  # bytes


def read_csv(path, table):
    """Fill a table from the columns `path`, `label` or `labels`, and any others.

    Spaces around a cell are no part of it. A column `labels` makes a set multi-label,
    even if each of its clips has one.

    Args:
        path: The file.
        table: A `ClipTable`.

    Raises:
        ManifestError: for what is no CSV at all.
    """
    table.name_row = "line {}".format
    rows = csv_rows(path, table.problem)
    header = [name.strip() for name in next(rows, (1, []))[1]]
    table.multi_label = "labels" in header
    if divider := _other_divider(header):
        text = f"its fields are divided by {divider!r}: save it as a CSV with commas"
        raise ManifestError(path, [text])
    for text in header_problems(header):
        table.problem(text)
    while block := list(islice(rows, BLOCK)):
        lines, cells = _of_right_width(block, len(header), table)
        columns = dict(zip(header, zip(*cells)))
        if "path" in columns:
            paths = [*map(str.strip, columns.pop("path"))]
            labels = columns.pop("label", None) or columns.pop("labels", None)
            table.add(lines, paths, labels or [""] * len(paths), columns)


def csv_rows(path, problem):
    """Each row of a CSV with the number of its first line, blank ones left out.

    Args:
        path: The file, in UTF-8.
        problem: Function of text and line, called for lines that are not text.
            Their rows are left out, but for the header.

    Yields:
        Pairs (line, list of cells).

    Raises:
        ManifestError: for a file that cannot be read or is something else.
    """
    try:
        _check_beginning(path)
        # What is not UTF-8 becomes surrogates, which are found line by line.
        with open(
            path, newline="", encoding="utf-8-sig", errors="surrogateescape"
        ) as file:
            yield from _numbered(file, problem)
    except OSError as error:
        text = f"not a readable CSV: {error.strerror or error}"
        raise ManifestError(path, [text]) from error


def _check_beginning(path):
    with open(path, "rb") as file:
        beginning = file.read(_LOOKED_AT)
    found = [what for magic, what in _BEGINNINGS.items() if beginning.startswith(magic)]
    if not found and beginning.count(0) > len(beginning) // 10:
        found = ["UTF-16 or no text"]
    if found:
        text = f"not a readable CSV: expected text in UTF-8, received {found[0]}"
        raise ManifestError(path, [text])


def _numbered(file, problem):
    broken = set()
    # Strict: else a quote that is not closed takes all rows to the end of the file.
    reader = csv.reader(_checked(file, problem, broken), strict=True)
    header, line = None, 1
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            problem(f"not a readable CSV: {error}. Is a quote not closed?", line)
            row = [] if header else None  # what comes after may have problems, too
        if row is None:
            return
        last = reader.line_num
        is_broken = broken and not broken.isdisjoint(range(line, last + 1))
        if row and not (is_broken and header):
            header = header or row
            yield line, row
        line = last + 1


def _checked(lines, problem, broken):
    for number, line in enumerate(lines, 1):
        if "\0" in line or not (line.isascii() or is_text(line)):
            broken.add(number)
            problem(_fault(line), number)
        yield line


def _fault(line):
    if "\0" in line:
        return "a NUL byte in the line: save the file as text in UTF-8"
    at = next(i for i, letter in enumerate(line) if "\udc80" <= letter <= "\udcff")
    shown = printable(line[max(0, at - 20) : at])
    return (
        f"byte 0x{ord(line[at]) - 0xDC00:02x} after {shown!r} is not UTF-8: save the "
        "file as UTF-8"
    )


def _other_divider(header):
    """What divides the fields of a header that commas do not, if anything."""
    text = ",".join(header)
    for divider in ";\t|":
        if "path" not in header and "path" in text.split(divider):
            return divider
    return None


def fields_problem(row, width):
    """What is wrong with the number of fields of a row, as text; else None."""
    if len(row) == width:
        return None
    text = f"expected {width} fields, received {len(row)}"
    if any("\n" in cell for cell in row):
        return f"{text} over several lines: is a quote not closed?"
    return text + (": is a comma not in quotes?" if len(row) > width else "")


def _of_right_width(block, width, table):
    """Line numbers and cells of the rows with as many fields as the header."""
    lines, rows = zip(*block)
    if {*map(len, rows)} == {width}:
        return lines, rows
    for line, row in block:
        if text := fields_problem(row, width):
            table.problem(text, line)
    block = [(line, row) for line, row in block if len(row) == width]
    return [line for line, _ in block], [row for _, row in block]
