"""From a CSV, a JSON or a folder to a `Manifest`.

Each kind of source has one reader that returns a `_Table`; what all kinds
share (resolving paths, naming classes, listing problems) is done once.
"""

import csv
import json
import os
from collections import namedtuple
from pathlib import Path

from keras_asit.data.manifest import Manifest, ManifestError

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3")

# paths, labels: one entry a row; columns: dict of the others; name_row(i): how
# row i is called in an error.
_Table = namedtuple("_Table", "paths labels columns name_row")


def read_manifest(path, labels=None, allow_outside=False):
    """Read a list of clips: a CSV, an AST-style JSON, or a folder of folders.

    - CSV: a column `path`, relative to the CSV's folder; `label` (or
      `labels`) with none, one, or many names divided by `;`; any others.
    - JSON: `{"data": [{"wav": ..., "labels": "/m/09x0r,/m/05zppz"}]}`, the
      form that AST, SSAST and ASiT use, best with its label CSV.
    - Folder: every audio file below it, labelled by its first folder, but
      for hidden ones (`._1.wav`, `__MACOSX`). A folder that holds a
      `manifest.csv` is read by that.

    Audio files are not opened here: the datasets skip and count those that
    cannot be read.

    Args:
        path: The CSV, JSON or folder.
        labels: Every class in order: a list of names, or a label CSV
            `index,mid,display_name`, which also turns mids into names.
        allow_outside: Whether clips may lie outside the manifest's folder.

    Returns:
        A `Manifest`.

    Raises:
        ManifestError: a `ValueError` that lists every problem with its row.

    Example:
        manifest = keras_asit.data.read_manifest("esc10/manifest.csv")

    Reference:
        https://github.com/YuanGongND/ast (its data preparation)
    """
    path = Path(os.path.abspath(path))
    if (path / "manifest.csv").is_file():
        path = path / "manifest.csv"
    if not path.exists():
        raise ManifestError(path, ["no such file or folder"])
    class_names, aliases = _read_classes(labels)
    read = _read_json if path.suffix.lower() == ".json" else _read_csv
    table = (_read_folder if path.is_dir() else read)(path)
    root = path if path.is_dir() else path.parent
    problems = [] if table.paths else ["no rows: expected at least one clip"]
    paths = _resolve(table, root, allow_outside, problems)
    label_lists = table.labels
    if class_names is not None:
        label_lists = _rename(table, aliases, problems)
    if problems:
        raise ManifestError(path, problems)
    return Manifest(paths, label_lists, class_names, table.columns, root)


def as_manifest(source):
    """A `Manifest` from what the dataset functions take.

    Args:
        source: A `Manifest`, the path of one, or a list of audio paths.
    """
    if isinstance(source, Manifest):
        return source
    if isinstance(source, (str, os.PathLike)):
        return read_manifest(source)
    paths = [os.path.abspath(path) for path in source]
    if not paths:
        raise ValueError("Expected at least one audio path. Received: an empty list")
    return Manifest(paths)


def _read_csv(path):
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            numbered = [(reader.line_num, row) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(path, [f"not a readable CSV: {error}"]) from error
    problems = [
        f"line {line}: expected {len(header)} fields, received {len(row)}"
        for line, row in numbered
        if len(row) != len(header)
    ]
    if "path" not in header:
        problems.insert(0, f"expected a column `path`, received the columns {header}")
    if problems:
        raise ManifestError(path, problems)
    cells = zip(*(row for _, row in numbered), strict=True) if numbered else [()] * 99
    columns = dict(zip(header, cells, strict=False))
    paths = columns.pop("path")
    label_column = "labels" if "labels" in columns else "label"
    labels = _split_labels(columns.pop(label_column, [""] * len(paths)), ";")
    lines = [line for line, _ in numbered]
    return _Table(paths, labels, columns, lambda i: f"line {lines[i]}")


def _split_labels(cells, divider):
    """Tuples of names from texts; equal texts share one tuple."""
    known = {}
    for cell in cells:
        if cell not in known:
            names = (name.strip() for name in cell.split(divider))
            known[cell] = tuple(dict.fromkeys(name for name in names if name))
    return [known[cell] for cell in cells]


def _read_json(path):
    try:
        with open(path, encoding="utf-8") as file:
            rows = json.load(file)
    except (OSError, ValueError) as error:
        raise ManifestError(path, [f"not a readable JSON: {error}"]) from error
    rows = rows.get("data") if isinstance(rows, dict) else None
    if not isinstance(rows, list):
        raise ManifestError(path, ['expected {"data": [{"wav": ..., "labels": ...}]}'])
    problems = [
        f"data[{i}]: expected texts `wav` and `labels`, received {row!r:.100}"
        for i, row in enumerate(rows)
        if not isinstance(row, dict)
        or not isinstance(row.get("wav"), str)
        or not isinstance(row.get("labels", ""), str)
    ]
    if problems:
        raise ManifestError(path, problems)
    labels = _split_labels([row.get("labels", "") for row in rows], ",")
    names = {
        name: None for row in rows for name in row if name not in ("wav", "labels")
    }
    columns = {name: [str(row.get(name, "")) for row in rows] for name in names}
    return _Table([r["wav"] for r in rows], labels, columns, lambda i: f"data[{i}]")


def _read_folder(root):
    paths = []
    for folder, below, files in os.walk(root):
        below[:] = sorted(name for name in below if not _is_hidden(name))
        names = sorted(f for f in files if f.lower().endswith(AUDIO_SUFFIXES))
        names = [name for name in names if not _is_hidden(name)]
        paths += [os.path.relpath(os.path.join(folder, name), root) for name in names]
    parts = [Path(path).parts for path in paths]
    labels = [part[:1] if len(part) > 1 else () for part in parts]
    return _Table(paths, labels, {}, lambda i: f"file {paths[i]}")


def _is_hidden(name):
    """Whether a name is of the system's own, as macOS puts them in archives."""
    return name.startswith(".") or name == "__MACOSX"


def _resolve(table, root, allow_outside, problems):
    """Absolute paths; those that are empty or leave `root` become problems."""
    paths, inside = [], str(root) + os.sep
    for i, raw in enumerate(table.paths):
        path = os.path.join(root, raw)
        if ".." in path or os.path.isabs(raw):
            path = os.path.abspath(path)
        if not raw.strip():
            problems.append(f"{table.name_row(i)}: the path is empty")
        elif not (allow_outside or path.startswith(inside)):
            problems.append(
                f"{table.name_row(i)}: {raw} lies outside {root} (AST-style JSON files "
                "hold absolute paths by custom); if you trust it, allow_outside=True"
            )
        paths.append(path)
    return paths


def _read_classes(labels):
    """Class names in order, and every spelling of each, from `labels`."""
    if labels is None:
        return None, {}
    if not isinstance(labels, (str, os.PathLike)):
        return list(labels), {name: name for name in labels}
    try:
        with open(labels, newline="", encoding="utf-8-sig") as file:
            rows = sorted(csv.DictReader(file), key=lambda row: int(row["index"]))
        names = [row["display_name"] for row in rows]
        return names, {
            r[k]: r["display_name"] for r in rows for k in ("display_name", "mid")
        }
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        wanted = "expected a label CSV with columns index,mid,display_name"
        raise ManifestError(labels, [f"{wanted}, received {error!r}"]) from error


def _rename(table, aliases, problems):
    """Labels by their class names; unknown ones become problems."""
    for i, names in enumerate(table.labels):
        unknown = [name for name in names if name not in aliases]
        if unknown:
            problems.append(f"{table.name_row(i)}: unknown labels {unknown}")
    renamed = {
        n: tuple(aliases.get(name, name) for name in n) for n in set(table.labels)
    }
    return [renamed[names] for names in table.labels]
