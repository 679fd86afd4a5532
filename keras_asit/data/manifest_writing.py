"""A manifest to the CSV that gives it back."""

import csv
import os
from itertools import chain

from keras_asit.data.manifest_error import ManifestError
from keras_asit.data.manifest_text import is_text, printable
from keras_asit.data.targets import names_of

_ROWS = 1000  # that are checked and written at a time


def write_csv(manifest, path):
    """See `Manifest.write_csv`."""
    path = os.path.abspath(path)
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    columns = _columns(manifest)
    problems = _unwritable_names(manifest)
    partial = f"{path}.{os.getpid()}.part"
    try:
        with open(partial, "w", newline="", encoding="utf-8") as file:
            if not problems:
                csv.writer(file, lineterminator="\n").writerow(columns)
            for start in range(0, len(manifest), _ROWS):
                part = slice(start, start + _ROWS)
                cells = {k: _texts(k, v[part], folder) for k, v in columns.items()}
                text = "".join(chain.from_iterable(cells.values()))
                if not is_text(text):
                    problems += _unwritable_cells(cells, start)
                elif not problems:
                    # Up to Python 3.12 a lone carriage return is quoted with all only.
                    quoting = csv.QUOTE_ALL if "\r" in text else csv.QUOTE_MINIMAL
                    writer = csv.writer(file, quoting=quoting, lineterminator="\n")
                    writer.writerows(zip(*cells.values()))
        if problems:
            raise ManifestError(path, problems)
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.remove(partial)


def _columns(manifest):
    name = "labels" if manifest.is_multi_label else "label"
    labels = {name: manifest.labels} if any(manifest.labels) else {}
    return {"path": manifest.paths, **labels, **manifest.columns}


def _texts(name, values, folder):
    """The cells of some rows of a column, as they are written."""
    if name == "path":
        inside = folder.rstrip(os.sep) + os.sep
        paths = (p if os.path.isabs(p) else os.path.abspath(p) for p in values)
        return [path.removeprefix(inside).replace(os.sep, "/") for path in paths]
    if name in ("label", "labels"):
        joined = {label: ";".join(names_of(label)) for label in set(values)}
        return [joined[label] for label in values]
    return [v if type(v) is str else _text(v) for v in values]


def _text(value):
    return "" if value is None else str(value)


def _unwritable_names(manifest):
    """Names of classes and columns that would be read back as others."""
    classes = set(chain.from_iterable(map(names_of, set(manifest.labels))))
    problems = [
        f"class {name!r}: expected a name without `;` and without outer spaces"
        for name in sorted(classes)
        if ";" in name or not name or name != name.strip()
    ]
    return problems + [
        f"column {name!r}: expected a name without NUL and without outer spaces"
        for name in manifest.columns
        if not name or name != str(name).strip() or not is_text(name)
    ]


def _unwritable_cells(cells, start):
    """What no CSV in UTF-8 can hold, by row."""
    return [
        f"row {start + i}: expected text in UTF-8 without NUL in the column {name}. "
        f"Received: {printable(cell)}"
        for name, column in cells.items()
        for i, cell in enumerate(column)
        if not is_text(cell)
    ]
