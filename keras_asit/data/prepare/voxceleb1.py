"""VoxCeleb1, who speaks, with its splits for identification and verification."""

import os
import re

from keras_asit.data.prepare import lists, walking, writing
from keras_asit.data.prepare.prepare_error import PrepareError

TITLE = "voxceleb1"
LIST, TRIALS = "iden_split.txt", "veri_test*.txt"
CLIP = re.compile(r"id\d{5}/[\w-]{11}/\d{5}", re.ASCII)
LINE = re.compile(rf"([123]) ({CLIP.pattern})\.wav", re.ASCII)
TRIAL = re.compile(rf"[01] ({CLIP.pattern})\.wav ({CLIP.pattern})\.wav", re.ASCII)
SPLITS = {"1": "train", "2": "valid", "3": "test"}
OFFICIAL = {"train": 138_361, "valid": 6_904, "test": 8_251}
TEST_SPEAKERS = {f"id{number}" for number in range(10_270, 10_310)}
OFFICIAL_VERIFICATION = {"dev": 148_642, "test": 4_874}
SPEAKERS = 1_251


def voxceleb1(folder, out=None, overwrite=False):
    """Writes the manifest of VoxCeleb1 for speaker identification and verification.

    The label is the speaker. For identification all speakers are in each split; for
    verification the 40 speakers of `test` are in no clip of `dev`. The pairs of clips
    that verification compares stay in their file, `veri_test.txt`.

    Args:
        folder: It holds, at any depth, what the dev and the test archive hold:
            `wav/id10001/1zcIwhmdeo4/00001.wav`. Here or one folder below it holds
            `iden_split.txt` (beside the archives on the data set's page) for the
            split for identification, and may hold `veri_test.txt`: all clips that
            they name have to be there.
        out: Path of the CSV; `manifest.csv` in `folder` by default.
        overwrite: Whether an `out` of other contents may be replaced.

    Returns:
        Path of the manifest: path, label, split (train, valid, test; with
        `iden_split.txt` alone), speaker, video (the YouTube video that a clip was cut
        from), verification (dev, test).

    Raises:
        ManifestError: (a `ValueError`) that lists every wrong line and every listed
            clip that is not on disk, without any clip, or when `out` has other
            contents.

    Example:
        path = keras_asit.data.prepare.voxceleb1("VoxCeleb1")
        clips = keras_asit.data.read_manifest(path).where(split="train")

    Reference:
        A. Nagrani, J. S. Chung, A. Zisserman, "VoxCeleb: a large-scale speaker
        identification dataset", Interspeech 2017;
        https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html
    """
    folder = writing.data_folder(folder)
    out = writing.output_path(folder, out)
    problems = []
    splits = {}
    for table in _tables(folder, LIST)[:1]:
        splits = _read_list(table, problems)
    trials = {}
    for table in _tables(folder, TRIALS):
        trials |= _read_trials(table, problems)
    clips = _clips_on_disk(folder, splits)
    problems += _missing(clips, splits | trials)
    if problems:
        raise PrepareError(folder, problems)
    rows = [_row(clip, clips[clip], splits) for clip in splits or clips]
    split = ("split",) if splits else ()
    columns = ("path", "label", *split, "speaker", "video", "verification")
    writing.write_manifest(out, folder, columns, rows, overwrite, TITLE)
    verification = (row[-1] for row in rows)
    writing.tell_counts(f"{TITLE}, verification", verification, OFFICIAL_VERIFICATION)
    if splits:
        writing.tell_counts(TITLE, splits.values(), OFFICIAL)
    else:
        writing.tell(TITLE, f"without {LIST} there is no split for identification")
    if (speakers := len({row[1] for row in rows})) != SPEAKERS:
        writing.tell(TITLE, f"{speakers:,} speakers, officially {SPEAKERS:,}")
    return out


def _tables(folder, name):
    return [*sorted(folder.glob(name)), *sorted(folder.glob(f"*/{name}"))]


def _read_list(table, problems):
    """`{speaker/video/clip: split}` in the order of the list."""
    splits = {}
    for number, line in lists.numbered_lines(table):
        entry = LINE.fullmatch(line)
        if not entry:
            problems.append(
                f"{LIST} line {number}: expected a line such as "
                f"'1 id10001/1zcIwhmdeo4/00001.wav', received {line!r:.100}"
            )
        elif entry[2] in splits:
            problems.append(f"{LIST} line {number}: {entry[2]}.wav is listed twice")
        else:
            splits[entry[2]] = SPLITS[entry[1]]
    if not splits and not problems:
        problems.append(f"{LIST}: expected a line a clip, found none")
    return splits


def _read_trials(table, problems):
    """The clips that are compared, as the keys of a dict."""
    clips = {}
    for number, line in lists.numbered_lines(table):
        if trial := TRIAL.fullmatch(line):
            clips |= dict.fromkeys(trial.groups())
        else:
            problems.append(
                f"{table.name} line {number}: expected a line such as '1 "
                "id10270/x6uYqmx31kE/00001.wav id10270/8jEAjG6SegY/00008.wav', "
                f"received {line!r:.100}"
            )
    return clips


def _clips_on_disk(folder, splits):
    """`{clip: path}` of the clips that are listed, or of all without a list."""
    is_wanted = splits.__contains__ if splits else CLIP.fullmatch
    clips, again, extra = {}, writing.Odd(), writing.Odd()
    for path in walking.audio_files(folder, TITLE):
        clip = "/".join(os.path.splitext(path)[0].split("/")[-3:])
        if clip in clips:
            again.add(path)
        elif is_wanted(clip):
            clips[clip] = path
        else:
            extra.add(path)
    again.tell(TITLE, "second files of a clip, left out")
    named = f"without a line in {LIST}" if splits else "that are not named as clips"
    extra.tell(TITLE, f"audio files {named}")
    return clips


def _missing(clips, wanted):
    """What is wrong with the clips on disk, as a list of problems."""
    if not clips and not wanted:
        return [
            f"expected {LIST}, here or one folder below, and clips such as "
            "wav/id10001/1zcIwhmdeo4/00001.wav at any depth; found neither"
        ]
    missing = [f"{clip}.wav" for clip in wanted if clip not in clips]
    if not missing:
        return []
    return [
        f"{len(missing):,} of {len(wanted):,} clips are not on disk. Are the dev "
        "and the test archive both unpacked, and whole? They are:",
        *missing,
    ]


def _row(clip, path, splits):
    speaker, video, _ = clip.split("/")
    verification = "test" if speaker in TEST_SPEAKERS else "dev"
    split = (splits[clip],) if splits else ()
    return path, speaker, *split, speaker, video, verification
