"""From a CSV, a JSON, a folder or a DataFrame to a `Manifest`."""

import contextlib
import gc
import os

from keras_asit.data.class_list import read_class_list
from keras_asit.data.clip_paths import resolve
from keras_asit.data.clip_table import ClipTable
from keras_asit.data.csv_source import read_csv
from keras_asit.data.dataframe_source import is_dataframe, read_dataframe
from keras_asit.data.folder_source import AUDIO_SUFFIXES, read_folder
from keras_asit.data.json_source import read_json
from keras_asit.data.manifest import Manifest
from keras_asit.data.manifest_error import ManifestError
from keras_asit.data.manifest_text import printable

__all__ = ["AUDIO_SUFFIXES", "as_manifest", "read_manifest"]


def read_manifest(path, labels=None, allow_outside=False, root=None):
    """Read a list of clips: a CSV, an AST-style JSON, a folder, or a DataFrame.

    - CSV: a column `path`, relative to the CSV's folder; `label` with none, one, or
      many names divided by `;`, or `labels`, which makes the set multi-label even
      if each clip has one; any others. Spaces around a cell are no part of it.
    - JSON: `{"data": [{"wav": ..., "labels": "/m/09x0r,/m/05zppz"}]}`, the
      form that AST, SSAST and ASiT use, best with its label CSV.
    - Folder: every audio file below it, labelled by its first folder, but
      for hidden ones (`._1.wav`, `__MACOSX`). A folder that holds a
      `manifest.csv` is read by that. One of `train`, `test` and the like alone is
      refused: these are no classes.
    - DataFrame of pandas: the columns of a CSV; labels may be lists, too.

    Audio files are not opened here: the datasets skip and count those that
    cannot be read. A manifest that names files outside its folder, by `..`, an
    absolute path or a link, is refused unless that is allowed. Of more than
    10,000 clips the links of folders alone are followed here; that of a clip
    itself is, by `Manifest.confinement`, when it is opened.

    Args:
        path: The CSV, JSON or folder, or a DataFrame.
        labels: Every class in order: a list of names, or a label CSV
            `index,mid,display_name`, which also turns mids into names.
        allow_outside: Whether clips may lie outside `root`.
        root: Folder that relative paths start from. By default that of the
            manifest, and for a DataFrame the current one.

    Returns:
        A `Manifest`.

    Raises:
        ManifestError: a `ValueError` that lists every problem with its row.

    Example:
        manifest = keras_asit.data.read_manifest("esc10/manifest.csv")

    Reference:
        https://github.com/YuanGongND/ast (its data preparation)
    """
    if is_dataframe(path):
        source, read, folder = "DataFrame", read_dataframe, os.curdir
    else:
        source, read, folder = _file_source(path)
    if root is not None and read is read_folder:
        raise ValueError(f"Expected no root for a folder. Received: root={root!r}")
    table = ClipTable(root or folder, allow_outside)
    names = _class_names(labels, table)
    with _no_garbage_collection():
        read(path if read is read_dataframe else source, table)
        return table.manifest(source, names)


def as_manifest(source):
    """A `Manifest` from what the dataset functions take.

    Args:
        source: A `Manifest`, what `read_manifest` reads, or a list of audio paths.
    """
    if isinstance(source, Manifest):
        return source
    if isinstance(source, (str, os.PathLike)) or is_dataframe(source):
        return read_manifest(source)
    paths = [os.fspath(path) for path in source]
    if not paths:
        raise ValueError("Expected at least one audio path. Received: an empty list")
    return Manifest(resolve(paths, os.getcwd()))


def _class_names(labels, table):
    """Every class in order, or None; what is wrong with them is a table's problem."""
    try:
        names, table.aliases = read_class_list(labels)
    except ManifestError as error:
        for text in error.problems:
            table.problem(f"labels {printable(error.source)}: {text}")
        return None
    return names


def _file_source(path):
    """The file or folder to read, its reader, and where its paths start from."""
    if not isinstance(path, (str, os.PathLike)) or not os.fspath(path):
        raise ValueError(
            "Expected the path of a CSV, a JSON or a folder, or a DataFrame. Received: "
            f"{path!r:.100}"
        )
    path = os.path.abspath(path)
    listed = os.path.join(path, "manifest.csv")
    path = listed if os.path.isfile(listed) else path
    if os.path.isdir(path):
        return path, read_folder, path
    if not os.path.exists(path):
        raise ManifestError(path, ["no such file or folder"])
    read = read_json if path.lower().endswith(".json") else read_csv
    return path, read, os.path.dirname(path)


@contextlib.contextmanager
def _no_garbage_collection():
    """Without it: rows refer to nothing in circles, and two thirds of the time go
    into looking through millions of them for that."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
