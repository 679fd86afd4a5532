"""ESC-50, environmental sounds in five folds."""

import csv
import os

from keras_asit.data.prepare import walking, writing
from keras_asit.data.prepare.prepare_error import PrepareError

TABLE = "meta/esc50.csv"
TABLE_COLUMNS = ("filename", "fold", "target", "category", "esc10", "src_file")
FOLDS = ("1", "2", "3", "4", "5")
OFFICIAL = dict.fromkeys((f"fold {fold}" for fold in FOLDS), 400)

# In the order of the column `target`.
# fmt: off
ESC50_CLASSES = [
    "dog", "rooster", "pig", "cow", "frog", "cat", "hen", "insects", "sheep", "crow",
    "rain", "sea_waves", "crackling_fire", "crickets", "chirping_birds",
    "water_drops", "wind", "pouring_water", "toilet_flush", "thunderstorm",
    "crying_baby", "sneezing", "clapping", "breathing", "coughing", "footsteps",
    "laughing", "brushing_teeth", "snoring", "drinking_sipping", "door_wood_knock",
    "mouse_click", "keyboard_typing", "door_wood_creaks", "can_opening",
    "washing_machine", "vacuum_cleaner", "clock_alarm", "clock_tick",
    "glass_breaking", "helicopter", "chainsaw", "siren", "car_horn", "engine",
    "train", "church_bells", "airplane", "fireworks", "hand_saw",
]
# fmt: on


def esc50(folder, out=None, overwrite=False):
    """Writes the manifest of ESC-50 with its five official folds.

    Pass `labels=ESC50_CLASSES` to `read_manifest` for the official order of
    the classes, which is that of the column `target`.

    Args:
        folder: ESC-50 as published: `audio/*.wav` and `meta/esc50.csv`.
        out: Path of the CSV; `manifest.csv` in `folder` by default.
        overwrite: Whether an `out` of other contents may be replaced.

    Returns:
        Path of the manifest: path, label, fold, target, group (the Freesound
        recording that a clip was cut from; it lies in one fold).

    Raises:
        ManifestError: (a `ValueError`) that lists every missing clip and every
            wrong row of the table, or when `out` has other contents.

    Example:
        path = keras_asit.data.prepare.esc50("ESC-50")
        clips = keras_asit.data.read_manifest(path, labels=ESC50_CLASSES)

    Reference:
        K. J. Piczak, "ESC: Dataset for Environmental Sound Classification",
        ACM Multimedia 2015; https://github.com/karolpiczak/ESC-50
    """
    folder = writing.data_folder(folder)
    out = writing.output_path(folder, out)
    rows = read_table(folder, "esc50")
    names = {int(row[3]): row[1] for row in rows}
    if any(name not in ESC50_CLASSES[i : i + 1] for i, name in names.items()):
        writing.tell("esc50", "the classes are not those of ESC-50")
    columns = ("path", "label", "fold", "target", "group")
    writing.write_manifest(out, folder, columns, rows, overwrite, "esc50")
    writing.tell_counts("esc50", (f"fold {row[2]}" for row in rows), OFFICIAL)
    return out


def read_table(folder, title, esc10_alone=False):
    """The rows of `meta/esc50.csv`, each with its clip on disk.

    Args:
        folder: Absolute path of ESC-50.
        title: Name of the data set, for what is told.
        esc10_alone: Whether to leave out what the table does not mark as ESC-10.

    Returns:
        List of (path, category, fold, target, src_file).

    Raises:
        ManifestError: that lists all problems.
    """
    problems = []
    lines = _read_lines(folder / TABLE)
    below = ["audio"] if (folder / "audio").is_dir() else []
    clips = walking.by_stem(walking.audio_files(folder, title, below), problems)
    rows, used, category_of = [], set(), {}
    for line, row in lines:
        if None in row.values():
            there = sum(value is not None for value in row.values())
            text = f"expected {len(row)} fields, received {there}"
            problems.append(f"{TABLE} line {line}: {text}")
            continue
        stem = "audio/" + os.path.splitext(row["filename"])[0]
        if esc10_alone and row["esc10"] == "False":
            used.add(stem)
            continue
        wrong = _wrong(row, category_of)
        if stem in used:
            wrong.append(f"{row['filename']} is listed twice")
        elif stem not in clips:
            wrong.append(f"audio/{row['filename']} is not on disk")
        used.add(stem)
        problems += [f"{TABLE} line {line}: {text}" for text in wrong]
        columns = ("category", "fold", "target", "src_file")
        rows.append((clips.get(stem, stem), *(row[column] for column in columns)))
    problems += _groups_in_two_folds(rows)
    if not rows and not problems:
        problems.append(f"{TABLE}: expected a row a clip, found none")
    if problems:
        raise PrepareError(folder, problems)
    extra = writing.Odd()
    for stem in sorted(set(clips) - used):
        extra.add(clips[stem])
    extra.tell(title, "files in audio/ without a row")
    return rows


def _read_lines(table):
    """`(line number, row as a dict)` of the table, whose columns are checked."""
    folder = table.parent.parent
    if not table.is_file():
        found = f"expected {TABLE} and audio/, as the archive of ESC-50 holds them"
        raise PrepareError(folder, [found])
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            lines = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise PrepareError(folder, [f"{TABLE}: no readable CSV: {error}"]) from error
    if missing := sorted(set(TABLE_COLUMNS) - set(reader.fieldnames or ())):
        problem = (
            f"Expected {table} with the columns {list(TABLE_COLUMNS)}; received "
            f"it without {missing}. Take the file that ESC-50 publishes."
        )
        raise PrepareError(folder, [problem])
    return lines


def _wrong(row, category_of):
    """What is wrong with one row of the table; `category_of` grows by its target."""
    wrong = []
    if None in row:
        wrong.append(f"expected as many fields as columns, received more: {row[None]}")
    if row["fold"] not in FOLDS:
        wrong.append(f"expected a fold of 1 to 5, received {row['fold']!r}")
    if not row["target"].isdecimal():
        wrong.append(f"expected a number as target, received {row['target']!r}")
    elif category_of.setdefault(row["target"], row["category"]) != row["category"]:
        wrong.append(
            f"target {row['target']} is {category_of[row['target']]!r} in a row "
            f"above, received {row['category']!r}"
        )
    if not row["category"]:
        wrong.append("expected a category, received none")
    if row["esc10"] not in ("True", "False"):
        wrong.append(f"expected esc10 True or False, received {row['esc10']!r}")
    return wrong


def _groups_in_two_folds(rows):
    fold_of, problems = {}, []
    for path, _, fold, _, group in rows:
        if fold_of.setdefault(group, fold) != fold:
            problems.append(
                f"{path}: the recording {group} has clips in the folds "
                f"{fold_of[group]} and {fold}"
            )
    return problems
