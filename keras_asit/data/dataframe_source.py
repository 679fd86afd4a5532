"""A DataFrame of pandas to a table of clips."""

import numpy as np

from keras_asit.data.clip_table import BLOCK, header_problems


def is_dataframe(source):
    """Whether something is a DataFrame, told without importing pandas."""
    return hasattr(source, "columns") and hasattr(source, "iloc")


def read_dataframe(frame, table):
    """Fill a table from the columns `path`, `label` or `labels`, and any others.

    Labels are text with names between `;`, or lists, tuples or sets of names.
    Missing values (None, NaN) are empty. A column of whole numbers with missing ones,
    which pandas turns into 1.0, 2.0, is read as 1, 2. Problems name a row by its
    number from 0, as `frame.iloc` does.

    Args:
        frame: The DataFrame.
        table: A `ClipTable`.
    """
    names = [str(name).strip() for name in frame.columns]
    problems = header_problems(names)
    for text in problems:
        table.problem(text)
    if problems:
        return
    whole = {name for name, key in zip(names, frame.columns) if _is_whole(frame[key])}
    for first in range(0, len(frame), BLOCK):
        block = frame.iloc[first : first + BLOCK]
        columns = {
            name: _texts(block[key], name in whole, name in ("label", "labels"))
            for name, key in zip(names, frame.columns)
        }
        paths = columns.pop("path")
        labels = columns.pop("label", None) or columns.pop("labels", None)
        rows = range(first, first + len(paths))
        table.add(rows, paths, labels or [""] * len(paths), columns)


def _texts(cells, whole, are_labels):
    text = _label if are_labels else _text
    return [c if type(c) is str else text(c, whole) for c in cells]


def _label(cell, whole):
    """Text, or a tuple of texts; that of a set is sorted."""
    if not isinstance(cell, (list, tuple, set, frozenset, np.ndarray)):
        return _text(cell, whole)
    names = tuple(_text(name, whole) for name in cell)
    return tuple(sorted(names)) if isinstance(cell, (set, frozenset)) else names


def _text(cell, whole):
    if _is_missing(cell):
        return ""
    return str(int(cell)) if whole else str(cell)


def _is_whole(series):
    """Whether a column of floats holds whole numbers alone, missing ones aside."""
    if getattr(series.dtype, "kind", "") != "f":
        return False
    values = series.dropna().to_numpy()
    return bool(np.all(values == np.floor(values)) and np.all(np.isfinite(values)))


def _is_missing(cell):
    """Whether a cell is None, NaN, or what else pandas calls so."""
    try:
        return cell is None or bool(cell != cell)
    except TypeError:  # pandas.NA is neither equal nor not
        return True
