"""VoxCeleb1, who speaks, with the official split for identification."""

import os
import re

from keras_asit.data.manifest_error import ManifestError
from keras_asit.data.prepare import lists, walking, writing

LIST = "iden_split.txt"
LINE = re.compile(r"([123]) ((id\d{5})/([\w-]{11})/\d{5})\.wav")
SPLITS = {"1": "train", "2": "valid", "3": "test"}
OFFICIAL = {"train": 138_361, "valid": 6_904, "test": 8_251}
SPEAKERS = 1_251


def voxceleb1(folder, out=None, overwrite=False):
    """Writes the manifest of VoxCeleb1 for speaker identification.

    The label is the speaker; all speakers are in each split.

    Args:
        folder: A folder that holds `iden_split.txt` (beside the archives on the
            data set's page) and, at any depth, what the dev and the test
            archive hold: `wav/id10001/1zcIwhmdeo4/00001.wav`. Both are needed.
        out: Path of the CSV; `manifest.csv` in `folder` by default.
        overwrite: Whether an `out` of other contents may be replaced.

    Returns:
        Path of the manifest: path, label, split (train, valid, test), speaker,
        video (the YouTube video that a clip was cut from).

    Raises:
        ManifestError: (a `ValueError`) that lists every wrong line and every
            clip that is not on disk, or when `out` has other contents.

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
    table = next(iter([*folder.glob(LIST), *sorted(folder.glob(f"*/{LIST}"))]), None)
    if table is None:
        found = f"expected {LIST}, the official split for identification"
        raise ManifestError(folder, [f"{found}, here or one folder below"])
    problems = []
    wanted = _read_list(table, problems)
    clips, extra = _clips_on_disk(folder, wanted)
    if missing := [clip for clip in wanted if clip not in clips]:
        problems.append(
            f"{len(missing):,} of {len(wanted):,} clips are not on disk. Are the dev "
            "and the test archive both unpacked, and whole? They are:"
        )
        problems += [f"{clip}.wav" for clip in missing]
    if problems:
        raise ManifestError(folder, problems)
    rows = [
        (clips[clip], speaker, split, speaker, video)
        for clip, (split, speaker, video) in wanted.items()
    ]
    columns = ("path", "label", "split", "speaker", "video")
    writing.write_manifest(out, folder, columns, rows, overwrite, "voxceleb1")
    writing.tell_counts("voxceleb1", (row[2] for row in rows), OFFICIAL)
    if (speakers := len({row[1] for row in rows})) != SPEAKERS:
        writing.tell("voxceleb1", f"{speakers:,} speakers, officially {SPEAKERS:,}")
    extra.tell("voxceleb1", f"audio files without a line in {LIST}")
    return out


def _read_list(table, problems):
    """`{speaker/video/clip: (split, speaker, video)}` in the order of the list."""
    wanted = {}
    for number, line in lists.numbered_lines(table):
        entry = LINE.fullmatch(line)
        if not entry:
            problems.append(
                f"{LIST} line {number}: expected a line such as "
                f"'1 id10001/1zcIwhmdeo4/00001.wav', received {line!r:.100}"
            )
        elif entry[2] in wanted:
            problems.append(f"{LIST} line {number}: {entry[2]}.wav is listed twice")
        else:
            wanted[entry[2]] = (SPLITS[entry[1]], entry[3], entry[4])
    if not wanted and not problems:
        problems.append(f"{LIST}: expected a line a clip, found none")
    return wanted


def _clips_on_disk(folder, wanted):
    """`{clip: path}` of those that are listed, and an `Odd` of all others."""
    clips, extra = {}, writing.Odd()
    for path in walking.audio_files(folder, "voxceleb1"):
        clip = "/".join(os.path.splitext(path)[0].split("/")[-3:])
        if clip in wanted and clip not in clips:
            clips[clip] = path
        else:
            extra.add(path)
    return clips, extra
