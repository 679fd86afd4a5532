"""A manifest to the CSV that gives it back."""

import csv
import os
from itertools import chain

from keras_asit import whole_files
from keras_asit.data.manifest_error import ManifestError
from keras_asit.data.manifest_text import cell_fault, name_fault, printable
from keras_asit.data.targets import names_of

_ROWS = 1000  # that are checked and written at a time
_LABELS = ("label", "labels")


def write_csv(manifest, path):
    """See `Manifest.write_csv`."""
    path = os.path.abspath(path)
    folder = os.path.dirname(path)
    if problems := unwritable(manifest, folder):
        raise ManifestError(path, problems)
    os.makedirs(folder, exist_ok=True)
    with (
        whole_files.replacing(path) as part,
        open(part, "w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_columns(manifest))
        for _, cells in _blocks(manifest, folder):
            writer.writerows(zip(*cells.values()))


def unwritable(manifest, folder):
    """What could not be read back from a CSV of a manifest, as a list of texts.

    Args:
        manifest: A `Manifest`.
        folder: Absolute path of the folder of the CSV.
    """
    problems = _unwritable_names(manifest)
    for start, cells in _blocks(manifest, folder):
        problems += _unwritable_cells(cells, start)
    return problems


def _blocks(manifest, folder):
    """Yields the number of a row, and the cells of some rows from it on by column."""
    columns = _columns(manifest)
    for start in range(0, len(manifest), _ROWS):
        part = slice(start, start + _ROWS)
        yield start, {k: _texts(k, v[part], folder) for k, v in columns.items()}


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
    if name in _LABELS:
        joined = {label: ";".join(names_of(label)) for label in set(values)}
        return [joined[label] for label in values]
    return [v if type(v) is str else _text(v) for v in values]


def _text(value):
    return "" if value is None else str(value)


def _unwritable_names(manifest):
    """Names of classes and columns that would be read back as others."""
    classes = set(chain.from_iterable(map(names_of, set(manifest.labels))))
    problems = []
    for name in sorted(classes):
        if fault := "a `;`" if ";" in name else name_fault(name):
            problems.append(f"class {name!r:.200}: {fault} in it. Rename it")
    for name in manifest.columns:
        if fault := name_fault(str(name)):
            problems.append(f"column {name!r:.200}: {fault} in it. Rename it")
    return problems


def _unwritable_cells(cells, start):
    """Cells, but for labels, that would be read back as others, by row."""
    problems = []
    for name, column in cells.items():
        if name in _LABELS or not _has_faults(column):
            continue
        for row, cell in enumerate(column, start):
            if cell and (fault := name_fault(cell)):
                problems.append(
                    f"row {row}: {fault} in the column {name}. "
                    f"Received: {printable(cell)}"
                )
    return problems


def _has_faults(column):
    return cell_fault("".join(column)) or column != [*map(str.strip, column)]
