"""Writes the manifest of ESC-10 with its five folds.

    python -m recipes.esc10.prepare --data FOLDER

The folder is one of

- ESC-10 as published: `001 - Dog bark/1-100032-A.ogg`, ten class folders;
- ESC-50 as published: `meta/esc50.csv`, whose column `esc10` marks the clips;
- any folder with a `manifest.csv` of columns path, label and fold: used as it is.

The first two get a file `esc10.csv` in the folder, as paths in it are relative to it;
another file of that name stays, and is refused.
"""

import argparse
import csv
import os
import re
import sys
from pathlib import Path

from keras_asit import data

CLIP = re.compile(r"(?P<fold>[1-5])-(?P<source>\d+)-[A-Z](-\d+)?\.(ogg|wav)")
CLASS_FOLDER = re.compile(r"\d{3} - (?P<label>.+)")
COLUMNS = ("path", "label", "fold", "source")
ESC50_COLUMNS = ("filename", "fold", "category", "esc10", "src_file")
FOLDS, CLASSES = 5, 10


def prepare(folder):
    """Finds the clips of ESC-10 in a folder and checks their folds.

    Args:
        folder: A folder in one of the three layouts.

    Returns:
        Path of the manifest: columns path, label, fold and, where it was written
        here, source (the Freesound recording that a clip was cut from).

    Raises:
        ValueError: If the layout is another, columns, classes or folds are missing, a
            recording has clips in several folds, or `esc10.csv` is another file.
    """
    folder = Path(folder)
    manifest = folder / "manifest.csv"
    if manifest.is_file():
        check(data.read_manifest(manifest))
        return manifest
    rows = esc50_rows(folder) or esc10_rows(folder)
    if not rows:
        raise ValueError(
            f"Expected {folder} to hold manifest.csv, meta/esc50.csv or class "
            "folders such as '001 - Dog bark' with clips such as "
            "1-100032-A.ogg; found none of them. Give the folder that "
            "`git clone` or the archive of the data set made."
        )
    return write(folder / "esc10.csv", rows)


def esc10_rows(folder):
    """Rows of the layout `001 - Dog bark/1-100032-A.ogg`."""
    rows = []
    for file in sorted(folder.glob("*/*")):
        label, clip = (
            CLASS_FOLDER.fullmatch(file.parent.name),
            CLIP.fullmatch(file.name),
        )
        if label and clip:
            path = file.relative_to(folder).as_posix()
            rows.append((path, label["label"], clip["fold"], clip["source"]))
    return rows


def esc50_rows(folder):
    """Rows of ESC-50's own table that it marks as ESC-10."""
    table = folder / "meta" / "esc50.csv"
    if not table.is_file():
        return []
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = sorted(set(ESC50_COLUMNS) - set(reader.fieldnames or ()))
        if missing:
            raise ValueError(
                f"Expected {table} with the columns {list(ESC50_COLUMNS)}; received "
                f"it without {missing}. Take the file that ESC-50 publishes."
            )
        return [
            (f"audio/{row['filename']}", row["category"], row["fold"], row["src_file"])
            for row in reader
            if row["esc10"] == "True"
        ]


def write(path, rows):
    """Writes the manifest if it passes the check; another file there stays."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with partial.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
        check(data.read_manifest(partial))
        if path.exists() and path.read_bytes() != partial.read_bytes():
            raise ValueError(
                f"Expected no {path}, or the one that this folder gives; received a "
                "file of other contents. Move it away, or name it manifest.csv to "
                "use it as it is."
            )
        return partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def check(manifest):
    """Raises where a 5-fold result of this manifest would not be one of ESC-10."""
    fold_of = manifest.columns.get("fold", [])
    folds = sorted(set(fold_of))
    if len(manifest.class_names) != CLASSES or len(folds) != FOLDS or "" in folds:
        raise ValueError(
            f"Expected {CLASSES} classes and {FOLDS} folds; received the classes "
            f"{manifest.class_names} and the folds {folds}. Is the download complete?"
        )
    seen = {}
    for path, fold in zip(manifest.paths, fold_of, strict=True):
        clip = CLIP.fullmatch(Path(path).name)
        if clip and seen.setdefault(clip["source"], fold) != fold:
            raise ValueError(
                f"The recording {clip['source']} has clips in the folds "
                f"{seen[clip['source']]} and {fold}, so that it would be heard in "
                "training and held out too. Use the folds of the data set."
            )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder of the data set")
    try:
        path = prepare(parser.parse_args(arguments).data)
    except (ValueError, OSError) as error:
        print(f"prepare: error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
