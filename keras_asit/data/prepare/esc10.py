"""ESC-10, the ten classes of ESC-50 that are easiest to tell apart, in five folds."""

import re
from pathlib import Path

from keras_asit.data.manifest_error import ManifestError
from keras_asit.data.prepare import walking, writing
from keras_asit.data.prepare.esc50 import FOLDS, TABLE, read_table
from keras_asit.data.prepare.prepare_error import PrepareError

CLIP = re.compile(r"(?P<fold>[1-5])-(?P<source>\d+)-[A-Z](-\d+)?\.\w+")
CLASS_FOLDER = re.compile(r"\d{3} - (?P<label>.+)")
CLASSES = 10
OFFICIAL = dict.fromkeys((f"fold {fold}" for fold in FOLDS), 80)


def esc10(folder, out=None, overwrite=False):
    """Writes the manifest of ESC-10 with its five official folds.

    There are two editions, and a result should say which one it used: ESC-10
    by itself (Ogg Vorbis), and the clips that ESC-50 marks as ESC-10 (wav, cut
    to 5 s). The names of the classes differ (`Dog bark`, `dog`).

    Args:
        folder: Either of them: class folders `001 - Dog bark/1-100032-A.ogg`,
            or ESC-50 with its `meta/esc50.csv`.
        out: Path of the CSV; `esc10.csv` in `folder` by default, as
            `manifest.csv` may be that of ESC-50.
        overwrite: Whether an `out` of other contents may be replaced.

    Returns:
        Path of the manifest: path, label, fold, group (the Freesound recording
        that a clip was cut from; it lies in one fold).

    Raises:
        ManifestError: (a `ValueError`) for another layout, files of other
            names, missing clips, other than 10 classes and 5 folds, a recording
            in two folds, or when `out` has other contents.

    Example:
        path = keras_asit.data.prepare.esc10("ESC-10")

    Reference:
        K. J. Piczak, "ESC: Dataset for Environmental Sound Classification",
        ACM Multimedia 2015; https://github.com/karolpiczak/ESC-10
    """
    folder = writing.data_folder(folder)
    out = writing.output_path(folder, out, "esc10.csv")
    if (folder / TABLE).is_file():
        table = read_table(folder, "esc10", esc10_alone=True)
        rows = [(path, label, fold, group) for path, label, fold, _, group in table]
    else:
        rows = _rows_of_class_folders(folder)
    if problems := _fold_problems(*list(zip(*rows, strict=True))[:3]):
        raise PrepareError(folder, problems)
    columns = ("path", "label", "fold", "group")
    writing.write_manifest(out, folder, columns, rows, overwrite, "esc10")
    writing.tell_counts("esc10", (f"fold {row[2]}" for row in rows), OFFICIAL)
    return out


def check_esc10(manifest):
    """Raises where a 5-fold result of a manifest would not be one of ESC-10.

    Args:
        manifest: A `Manifest` of any origin.

    Raises:
        ManifestError: for other than 10 classes and 5 folds, or a recording
            (known by the official file names) with clips in two folds.
    """
    folds = manifest.columns.get("fold", [""] * len(manifest))
    labels = [name for i in range(len(manifest)) for name in manifest.label_names(i)]
    if problems := _fold_problems(manifest.paths, labels, folds):
        raise ManifestError(manifest.root, problems)


def _rows_of_class_folders(folder):
    rows, problems = [], []
    labels = {
        below.name: name["label"]
        for below in sorted(folder.iterdir())
        if below.is_dir() and (name := CLASS_FOLDER.fullmatch(below.name))
    }
    files = walking.audio_files(folder, "esc10", labels)
    for path in walking.by_stem(files, problems).values():
        below, _, name = path.partition("/")
        if clip := CLIP.fullmatch(name):
            rows.append((path, labels[below], clip["fold"], clip["source"]))
        else:
            problems.append(f"{path}: expected a name such as 1-100032-A.ogg")
    if not rows and not problems:
        problems.append(
            f"Expected {folder} to hold {TABLE} or class folders such as "
            "'001 - Dog bark' with clips such as 1-100032-A.ogg; found neither. Give "
            "the folder that `git clone` or the archive of the data set made."
        )
    if problems:
        raise PrepareError(folder, problems)
    return rows


def _fold_problems(paths, labels, folds):
    problems = []
    names, present = sorted(set(labels)), sorted(set(folds))
    if len(names) != CLASSES or present != list(FOLDS):
        problems.append(
            f"Expected {CLASSES} classes and {len(FOLDS)} folds; received the classes "
            f"{names} and the folds {present}. Is the download complete?"
        )
    seen = {}
    for path, fold in zip(paths, folds, strict=True):
        clip = CLIP.fullmatch(Path(path).name)
        if clip and seen.setdefault(clip["source"], fold) != fold:
            problems.append(
                f"The recording {clip['source']} has clips in the folds "
                f"{seen[clip['source']]} and {fold}, so that it would be heard in "
                "training and held out too. Use the folds of the data set."
            )
    return problems
