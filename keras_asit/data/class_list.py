"""The classes of a data set in their order: a list of names, or a label CSV."""

import os
from collections import Counter

from keras_asit.data.csv_source import csv_rows, fields_problem
from keras_asit.data.manifest_error import ManifestError
from keras_asit.data.manifest_text import cell_fault, name_fault

_COLUMNS = ("index", "mid", "display_name")


def read_class_list(labels):
    """Class names in order, and every spelling of each.

    Args:
        labels: None, a list of names, or the path of a label CSV with the columns
            `index,mid,display_name`, as AudioSet's.

    Returns:
        `(names, aliases)`: a list, and a dict from each spelling to its name. Without
        labels both are None.

    Raises:
        ManifestError: a `ValueError` that lists every problem, with its line.
    """
    if labels is None:
        return None, None
    if isinstance(labels, (str, os.PathLike)):
        return _read_label_csv(os.fspath(labels))
    names = [str(name) for name in labels]
    problems = [
        f"class {name!r} is there {count} times"
        for name, count in Counter(names).items()
        if count > 1
    ]
    problems += [
        f"class {name!r:.200}: {fault} in it"
        for name in names
        if (fault := name_fault(name))
    ]
    if problems:
        raise ManifestError("given", problems)
    return names, {name: name for name in names}


def _read_label_csv(path):
    if not os.path.isfile(path):
        raise ManifestError(path, ["no such label CSV"])
    problems = []
    rows = csv_rows(path, lambda text, line: problems.append((line, text)))
    header = [name.strip() for name in next(rows, (1, []))[1]]
    if any(header.count(name) != 1 for name in _COLUMNS):
        wanted = f"expected a label CSV with the columns {','.join(_COLUMNS)}"
        raise ManifestError(path, [f"{wanted}, received {header}"])
    lines = {name: {} for name in _COLUMNS}  # of each value, where it came first
    classes = {}
    for line, row in rows:
        if text := fields_problem(row, len(header)):
            problems.append((line, text))
            continue
        row = {name: cell.strip() for name, cell in zip(header, row)}
        problems += [(line, text) for text in _faults(row, line, lines)]
        classes[row["index"]] = (row["display_name"], row["mid"])
    problems = [f"line {line}: {text}" for line, text in problems]
    if not problems:
        problems = _gaps(classes)
    if problems:
        raise ManifestError(path, problems)
    in_order = [classes[index] for index in sorted(classes, key=int)]
    aliases = {spelling: c[0] for c in in_order for spelling in c}
    return [name for name, _ in in_order], aliases


def _faults(row, line, lines):
    """What is wrong with the cells of a class, as texts."""
    faults = []
    if not row["index"].isdecimal():
        faults.append(f"expected a whole number as index, received {row['index']!r}")
    for name in _COLUMNS:
        first = lines[name].setdefault(row[name], line)
        if not row[name]:
            faults.append(f"the {name} is empty")
        elif fault := cell_fault(row[name]):
            faults.append(f"{fault} in the {name} {row[name]!r:.200}")
        elif first != line:
            faults.append(f"{name} {row[name]!r} is also in line {first}")
    return faults


def _gaps(classes):
    """The numbers of the targets are the indices: none may be left out."""
    if not classes:
        return ["no rows: expected at least one class"]
    given = {int(index) for index in classes}
    missing = sorted(set(range(len(classes))) - given)
    if not missing:
        return []
    return [
        f"expected the indices 0 to {len(classes) - 1} of {len(classes)} classes; "
        f"missing are {missing[:10]}"
    ]
