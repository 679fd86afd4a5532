"""Manifests that are there whole or not at all, and what is told beside them."""

import contextlib
import csv
import filecmp
import os
import sys
from collections import Counter
from pathlib import Path

from keras_asit import whole_files
from keras_asit.data.manifest_text import is_text, printable
from keras_asit.data.prepare.outside import Outside
from keras_asit.data.prepare.prepare_error import PrepareError


def tell(title, text):
    """Prints a line that is neither result nor error."""
    print(f"{title}: {text}", file=sys.stderr)


def tell_counts(title, splits, official):
    """Prints how many clips each split (or fold) has, and which differ.

    Args:
        title: Name of the data set.
        splits: The split of each clip.
        official: Dict of the published counts; those not in it are not compared.
    """
    counts = Counter(splits)
    parts = ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
    tell(title, f"{counts.total():,} clips: {parts}")
    tell_differences(title, counts, official)


def tell_differences(title, counts, official):
    """Prints which counts differ from the published ones."""
    for name, count in official.items():
        if counts[name] != count:
            tell(
                title,
                f"{name} has {counts[name]:,} clips, officially {count:,}: results "
                "are not comparable with published ones",
            )


class Odd:
    """Paths that are told and not used: how many, and the first few.

    It holds no more than it prints, as there may be millions.
    """

    def __init__(self):
        self.count, self.first = 0, []

    def add(self, path):
        self.count += 1
        if len(self.first) < 3:
            self.first.append(path)

    def __str__(self):
        more = ", ..." if self.count > len(self.first) else ""
        examples = f" ({', '.join(self.first)}{more})" if self.first else ""
        return f"{self.count:,}{examples}"

    def tell(self, title, what):
        """Prints them, if there are any."""
        if self.count:
            tell(title, f"{what}: {self}")


def data_folder(folder):
    """The absolute path of a data set's folder.

    Raises:
        ManifestError: if it is none.
    """
    folder = Path(os.path.abspath(folder))
    if not folder.is_dir():
        raise PrepareError(folder, ["no such folder"])
    return folder


def output_path(folder, out, name="manifest.csv"):
    """Where the manifest goes: `out`, or `name` in the data set's folder.

    Raises:
        ManifestError: if it is not named .csv, or there is no folder to hold it.
    """
    out = Path(os.path.abspath(folder / name if out is None else out))
    if out.is_dir() or out.suffix.lower() != ".csv" or not out.parent.is_dir():
        problem = "expected the path of a file .csv to write, in a folder that exists"
        raise PrepareError(out, [problem])
    return out


def write_manifest(out, folder, columns, rows, overwrite, title):
    """Writes a manifest; returns its path.

    Args:
        out: Absolute path of the CSV.
        folder: Absolute path that the first cell of each row is relative to.
        columns: Names of the columns, `path` first.
        rows: Iterable of sequences of texts.
        overwrite: Whether a file of other contents may be replaced.
        title: Name of the data set, for what is told.

    Raises:
        ManifestError: if `out` has other contents (it stays as it is) or cannot be
            written, or for names of files that no CSV in UTF-8 can hold.
    """
    with staged_manifest(out, folder, columns, rows, overwrite, title):
        return out


@contextlib.contextmanager
def staged_manifest(out, folder, columns, rows, overwrite, title, beside=()):
    """`write_manifest`, put in place when the `with` block ends without an error.

    Args:
        beside: More rows, whose paths are relative to the CSV.
    """
    outside, problems = Outside(out.parent), []
    with whole_files.replacing(out) as part:
        with _open(part, out) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            prefix = _prefix(folder, out.parent)
            writer.writerows(_rows(prefix, rows, outside, problems))
            writer.writerows(beside)
        if problems:
            raise PrepareError(folder, problems)
        if not overwrite and out.exists() and not filecmp.cmp(part, out, False):
            raise PrepareError(
                out,
                [
                    f"Expected no {out}, or the one that this folder gives; received "
                    "a file of other contents. Move it away, write elsewhere (out) "
                    "or allow it to be replaced (overwrite)."
                ],
            )
        if outside.first:
            tell(
                title,
                f"clips such as {outside.first} lie outside the manifest's folder: "
                "read it with read_manifest(..., allow_outside=True)",
            )
        yield out


def _rows(prefix, rows, outside, problems):
    """Yields the rows that can be written; `problems` grows by the others."""
    for path, *cells in rows:
        path = prefix + path
        if is_text(path):
            outside.add(path)
            yield path, *cells
        else:
            problems.append(
                f"{printable(path)}: expected a name in UTF-8. Rename it: `convmv` "
                "renames many"
            )


def _open(part, out):
    try:
        return Path(part).open("w", newline="", encoding="utf-8")
    except OSError as error:
        problem = f"cannot write it ({error.strerror}): write elsewhere: out, or --out"
        raise PrepareError(out, [problem]) from error


def _prefix(folder, start):
    relative = Path(os.path.relpath(folder, start)).as_posix()
    return "" if relative == "." else f"{relative}/"
