"""A DataFrame of pandas to a table of clips."""

from reprlib import repr as short

import numpy as np

from keras_asit.data.clip_table import BLOCK, header_problems

_LABELS = ("label", "labels")
_LISTS = (list, tuple, set, frozenset, np.ndarray)  # of names in a cell of labels


def is_dataframe(source):
    """Whether something is a DataFrame, told without importing pandas."""
    return hasattr(source, "columns") and hasattr(source, "iloc")


def read_dataframe(frame, table):
    """Fill a table from the columns `path`, `label` or `labels`, and any others.

    Labels are text with names between `;`, or lists, tuples or sets of names.
    Missing values (None, NaN) are empty. A column of whole numbers with missing ones,
    which pandas turns into 1.0, 2.0, is read as 1, 2. Problems name a row by its
    number from 0, as `frame.iloc` does. A column `labels` makes a set multi-label,
    even if each of its clips has one.

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
    table.multi_label = "labels" in names
    whole = {name for name, key in zip(names, frame.columns) if _is_whole(frame[key])}
    for first in range(0, len(frame), BLOCK):
        block = frame.iloc[first : first + BLOCK]
        columns = {
            name: _texts(block[key], name, name in whole, first, table.problem)
            for name, key in zip(names, frame.columns)
        }
        paths = [*map(str.strip, columns.pop("path"))]
        labels = columns.pop("label", None) or columns.pop("labels", None)
        rows = range(first, first + len(paths))
        table.add(rows, paths, labels or [""] * len(paths), columns)


def _texts(cells, name, whole, first, problem):
    """The cells of a column as texts, `""` for those that are none."""
    text = _label if name in _LABELS else _text
    texts = [c if type(c) is str else text(c, whole) for c in cells]
    if None not in texts:
        return texts
    expected = "text or a list of names" if name in _LABELS else "text or a number"
    for row, (cell, found) in enumerate(zip(cells, texts), first):
        if found is None:
            received = " ".join(short(cell).split())
            problem(f"expected {expected} as {name!r}, received {received}", row)
    return [found or "" for found in texts]


def _label(cell, whole):
    """Text, or a tuple of texts; that of a set is sorted. None as of `_text`."""
    if not isinstance(cell, _LISTS) or getattr(cell, "ndim", 1) != 1:
        return _text(cell, whole)
    names = tuple(_text(name, whole) for name in cell)
    if None in names:
        return None
    return tuple(sorted(names)) if isinstance(cell, (set, frozenset)) else names


def _text(cell, whole):
    """A cell as text; None for what holds several, as a list or an array does."""
    if hasattr(cell, "__len__") and not isinstance(cell, str):
        return None
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
