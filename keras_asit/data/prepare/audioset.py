"""AudioSet: two million clips of ten seconds, with holes in every copy."""

import csv
import os
import re
from collections import Counter
from pathlib import Path

from tqdm import tqdm

from keras_asit.data.prepare import walking, writing
from keras_asit.data.prepare.prepare_error import PrepareError

AUDIOSET_CLASSES = Path(__file__).with_name("audioset_class_labels.csv")  # see NOTICE

TABLES = {
    "balanced": "balanced_train_segments.csv",
    "unbalanced": "unbalanced_train_segments.csv",
    "eval": "eval_segments.csv",
}
OFFICIAL = {"balanced": 22_160, "unbalanced": 2_041_789, "eval": 20_371}
COLUMNS = ("path", "labels", "split", "ytid", "start_seconds")

YTID = re.compile(r"[\w-]{11}", re.ASCII)
SECONDS = re.compile(r"\d+(\.\d+)?", re.ASCII)
START_AND_END = re.compile(r"_(\d+(?:\.\d+)?)(?:[_-]\d+(?:\.\d+)?)?")
PREFIXES = ("", "Y", "_Y")  # "Y" as in PANNs: a name does not begin with a hyphen


def audioset(folder, out=None, overwrite=False):
    """Writes the manifest of the AudioSet clips that are on disk.

    No copy of AudioSet is whole, as videos vanish: listed clips that are not
    there are counted and told, and so are files that no table lists. Clips are
    found by name, in whatever folders they lie: `YTID.wav`, `YYTID.wav` (as
    PANNs names them), `YTID_START.wav`, `YTID_START_END.wav`, in seconds or
    milliseconds, and each with any suffix that `audio.read` takes.

    Args:
        folder: It holds the audio, at any depth, and the official tables of
            those splits that are wanted, here or one folder below:
            `balanced_train_segments.csv`, `unbalanced_train_segments.csv`,
            `eval_segments.csv`.
        out: Path of the CSV; `manifest.csv` in `folder` by default.
        overwrite: Whether an `out` of other contents may be replaced, as after
            more of AudioSet was downloaded.

    Returns:
        Path of the manifest: path, labels (display names divided by `;`), split
        (balanced, unbalanced, eval), ytid, start_seconds. Sorted by path.

    Raises:
        ManifestError: (a `ValueError`) without any table, for tables with wrong
            rows (all are listed), when no listed clip is on disk, or when `out`
            has other contents.

    Example:
        path = keras_asit.data.prepare.audioset("AudioSet")
        clips = keras_asit.data.read_manifest(path, labels=AUDIOSET_CLASSES)

    Reference:
        J. F. Gemmeke et al., "Audio Set: An ontology and human-labeled dataset
        for audio events", ICASSP 2017;
        https://research.google.com/audioset/download.html
    """
    folder = writing.data_folder(folder)
    out = writing.output_path(folder, out)
    clips, problems, found = {}, [], _Found()
    for split, table in _tables(folder).items():
        _read_table(table, split, clips, found, problems)
    if problems:
        raise PrepareError(folder, problems)
    rows = _rows_on_disk(folder, clips, found)
    writing.write_manifest(out, folder, COLUMNS, rows, overwrite, "audioset")
    found.tell()
    return out


class _Found:
    """What the tables list and the walk over the files finds."""

    def __init__(self):
        self.listed, self.splits = Counter(), Counter()
        self.repeated = writing.Odd()  # rows
        self.unlisted, self.again = writing.Odd(), writing.Odd()  # files

    def tell(self):
        for split, count in self.listed.items():
            there = self.splits[split]
            text = f"{split}: {there:,} of {count:,} listed clips are on disk"
            if count != OFFICIAL[split]:
                text += f"; officially {OFFICIAL[split]:,} are listed"
            writing.tell("audioset", text)
        self.repeated.tell("audioset", "rows of a YouTube id listed before, left out")
        self.unlisted.tell("audioset", "audio files of no listed clip")
        self.again.tell("audioset", "second files of a clip, left out")


def _tables(folder):
    """`{split: path}` of the tables that there are."""
    found = {}
    for split, name in TABLES.items():
        for place in [*folder.glob(name), *sorted(folder.glob(f"*/{name}"))][:1]:
            found[split] = place
    if not found:
        problem = (
            f"expected one or more of {', '.join(TABLES.values())} (from AudioSet's "
            "download page) here or one folder below, beside the audio"
        )
        raise PrepareError(folder, [problem])
    return found


def _read_table(table, split, clips, found, problems):
    """Adds `{ytid: (split, start, labels)}` of a table to `clips`.

    Equal texts share one string, as there are two million rows.
    """
    names_of, starts = _label_texts(), {}
    known = len(clips)
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, skipinitialspace=True)
            for row in tqdm(reader, table.name, leave=False, disable=None):
                if not row or row[0].startswith("# ") or row[0] == "YTID":
                    continue  # "YTID": a table that pandas has written anew
                if wrong := _wrong(row, names_of):
                    problems.append(f"{table.name} line {reader.line_num}: {wrong}")
                elif row[0] in clips:
                    found.repeated.add(f"{row[0]} in {table.name}")
                else:
                    ytid, start, _, mids = row
                    start = starts.setdefault(start, start)
                    clips[ytid] = (split, start, names_of[mids])
    except (UnicodeDecodeError, csv.Error) as error:
        problems.append(f"{table.name}: no readable CSV: {error}")
    found.listed[split] = len(clips) - known


class _LabelTexts(dict):
    """Display names divided by `;`, by mids divided by `,`; each is made once."""

    def __init__(self, names):
        super().__init__()
        self.names = names

    def __missing__(self, mids):
        self[mids] = ";".join(self.names[mid.strip()] for mid in mids.split(","))
        return self[mids]


def _label_texts():
    with AUDIOSET_CLASSES.open(newline="", encoding="utf-8") as file:
        return _LabelTexts({r["mid"]: r["display_name"] for r in csv.DictReader(file)})


def _wrong(row, names_of):
    """What is wrong with a row of a table, or None."""
    if len(row) != 4:
        return f"expected YTID, start, end and quoted labels, received {row!r:.200}"
    ytid, start, _, mids = row
    if not YTID.fullmatch(ytid):
        return f"expected a YouTube id of 11 characters, received {ytid!r:.100}"
    if not SECONDS.fullmatch(start):
        return f"expected a start in seconds, received {start!r:.100}"
    if mids not in names_of:
        unknown = [m for m in mids.split(",") if m.strip() not in names_of.names]
        if unknown:
            return f"expected labels of the 527 classes, received {unknown}"
    return None


def _rows_on_disk(folder, clips, found):
    """Yields the rows of the manifest; in `clips`, the split is what then stays."""
    for path in walking.audio_files(folder, "audioset"):
        ytid = _clip_of(os.path.splitext(path.rpartition("/")[2])[0], clips)
        if ytid is None:
            found.unlisted.add(path)
        elif isinstance(clips[ytid], str):
            found.again.add(path)
        else:
            split, start, labels = clips[ytid]
            clips[ytid] = split
            found.splits[split] += 1
            yield path, labels, split, ytid, start
    if not found.splits:
        problem = (
            f"expected audio files named by the {len(clips):,} YouTube ids of the "
            "tables, as YTID.wav or YTID_START_END.wav; found none of them. Audio "
            f"files of other names: {found.unlisted}"
        )
        raise PrepareError(folder, [problem])


def _clip_of(stem, clips):
    """The YouTube id that a file is named by, if it is of a listed clip."""
    for prefix in PREFIXES:
        if stem.startswith(prefix):
            ytid, rest = stem[len(prefix) :][:11], stem[len(prefix) + 11 :]
            if ytid in clips and (not rest or _starts_there(rest, clips[ytid])):
                return ytid
    return None


def _starts_there(rest, clip):
    """Whether `_30_40`, `_30.000_40.000`, `_30000_40000`, `_30` fit the clip.

    A video that is in AudioSet may be in other sets too, with another segment.
    """
    times = START_AND_END.fullmatch(rest)
    if not times or isinstance(clip, str):
        return bool(times)
    named, start = float(times[1]), float(clip[1])
    return named in (start, int(start), round(start), round(1000 * start))
