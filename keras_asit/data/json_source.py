"""A JSON in the form of AST, SSAST and ASiT to a table of clips."""

import json
from reprlib import repr as short

from keras_asit.data.clip_table import BLOCK
from keras_asit.data.manifest import OWN_COLUMNS
from keras_asit.data.manifest_error import ManifestError
from keras_asit.data.manifest_text import name_fault

_OWN_KEYS = ("wav", "labels")
_UTF_16 = ("\udcff\udcfe", "\udcfe\udcff")  # its first two bytes, read as UTF-8
_SCALARS = {str, int, float, bool, type(None)}


def read_json(path, table):
    """Fill a table from `{"data": [{"wav": ..., "labels": "/m/09x0r,/m/05zppz"}]}`.

    Other keys of the rows become columns.

    Args:
        path: The file.
        table: A `ClipTable`.

    Raises:
        ManifestError: for what is no such JSON at all.
    """
    table.name_row, table.divider = "data[{}]".format, ","
    rows = _load(path)
    keys = {row[0]: None for row in rows if isinstance(row, tuple)}
    names = dict.fromkeys(name for own in keys for name in own if name not in _OWN_KEYS)
    if clash := [name for name in names if name in OWN_COLUMNS]:
        table.problem(f"keys {clash} beside `wav` and `labels`: rename or remove them")
    for name in names:
        if fault := name_fault(name):
            table.problem(f"{fault} in the key {name!r:.200}: rename it")
    names = [name for name in names if name not in clash]
    for first in range(0, len(rows), BLOCK):
        block = rows[first : first + BLOCK]
        rows[first : first + BLOCK] = [None] * len(block)  # as they are no more needed
        _add(block, first, names, table)


def _load(path):
    """The list under `data`, its objects as tuples of their keys and values.

    Objects with equal keys share one tuple of them: a third of what dicts take.
    """
    known = {}

    def as_tuple(pairs):
        keys = tuple([key for key, _ in pairs])
        return (known.setdefault(keys, keys), *[value for _, value in pairs])

    try:
        # What is not UTF-8 becomes surrogates, which the table finds in their rows.
        with open(path, encoding="utf-8-sig", errors="surrogateescape") as file:
            content = json.loads(file.read(), object_pairs_hook=as_tuple)
    except (OSError, ValueError, RecursionError) as error:
        text = f"not a readable JSON: {_reason(error)}"
        raise ManifestError(path, [text]) from error
    data = _as_dict(content).get("data") if isinstance(content, tuple) else None
    if not isinstance(data, list):
        raise ManifestError(path, ['expected {"data": [{"wav": ..., "labels": ...}]}'])
    return data


def _reason(error):
    if isinstance(error, OSError):
        return error.strerror
    if isinstance(error, RecursionError):
        return "lists or objects are nested too deeply"
    if getattr(error, "doc", "").startswith(_UTF_16):
        return "it is UTF-16. Save it as UTF-8"
    return str(error)


def _add(block, first, names, table):
    numbers = range(first, first + len(block))
    cells = _regular(block)
    if cells is None:
        rows = [_as_dict(row) if isinstance(row, tuple) else row for row in block]
        faults = {n: _faults(row) for n, row in zip(numbers, rows)}
        for number in numbers:
            for fault in faults[number]:
                table.problem(fault, number)
        rows = [row for n, row in zip(numbers, rows) if not faults[n]]
        numbers = [n for n in numbers if not faults[n]]
        cells = {k: [r.get(k, "") for r in rows] for k in (*_OWN_KEYS, *names)}
    nothing = [""] * len(numbers)
    columns = {k: [*map(_text, cells.get(k, nothing))] for k in names}
    paths = [*map(str.strip, cells["wav"])]
    table.add(numbers, paths, cells.get("labels", nothing), columns)


def _regular(block):
    """The cells of a block by key, if its rows have the same keys and no faults."""
    if {*map(type, block)} != {tuple} or len({row[0] for row in block}) > 1:
        return None
    keys, *cells = zip(*block)
    cells = dict(zip(keys[0], cells))
    types = {key: {*map(type, values)} for key, values in cells.items()}
    own = [types.pop("wav", None), types.pop("labels", {str})]
    fits = own == [{str}] * 2 and all(found <= _SCALARS for found in types.values())
    return cells if fits else None


def _faults(row):
    """What is wrong with the types of a row, as texts."""
    if not isinstance(row, dict):
        return [f"expected an object with `wav` and `labels`, received {short(row)}"]
    faults = []
    own = {name: row[name] for name in _OWN_KEYS if name in row}
    if "wav" not in own or not all(isinstance(value, str) for value in own.values()):
        faults.append(f"expected texts `wav` and `labels`, received {short(own)}")
    return faults + [
        f"expected text or a number as {name!r}, received {short(value)}"
        for name, value in row.items()
        if name not in _OWN_KEYS and type(value) not in _SCALARS
    ]


def _as_dict(row):
    return dict(zip(row[0], row[1:]))


def _text(value):
    return "" if value is None else str(value)
