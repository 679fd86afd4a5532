"""The Free Spoken Digit Dataset."""

import re

from keras_asit.data.prepare import walking, writing
from keras_asit.data.prepare.prepare_error import PrepareError

CLIP = re.compile(r"recordings/(?P<digit>\d)_(?P<speaker>[A-Za-z]+)_(?P<index>\d+)")
TEST_INDICES = range(5)  # of each digit and speaker; the data set's own README
OFFICIAL = {"test": 300, "train": 2_700}  # 10 digits, 6 speakers, 50 takes


def fsdd(folder, out=None, overwrite=False):
    """Writes the manifest of the Free Spoken Digit Dataset.

    The label is the digit. The official split is by the number of the take:
    0 to 4 is `test`, the others are `train`. Both have the same speakers; hold
    out by the column `speaker` for speakers that were never heard.

    Args:
        folder: The repository as cloned: it holds
            `recordings/{digit}_{speaker}_{index}.wav`.
        out: Path of the CSV; `manifest.csv` in `folder` by default.
        overwrite: Whether an `out` of other contents may be replaced.

    Returns:
        Path of the manifest: path, label, split, speaker, index.

    Raises:
        ManifestError: (a `ValueError`) for another layout, for files of other
            names, or when `out` has other contents.

    Example:

    >>> import os, tempfile, keras_asit
    >>> folder = tempfile.mkdtemp()
    >>> os.mkdir(os.path.join(folder, "recordings"))
    >>> for name in ("7_theo_4.wav", "7_theo_5.wav"):
    ...     open(os.path.join(folder, "recordings", name), "w").close()
    >>> path = keras_asit.data.prepare.fsdd(folder)
    >>> keras_asit.data.read_manifest(path).columns["split"].tolist()
    ['test', 'train']

    Reference:
        https://github.com/Jakobovski/free-spoken-digit-dataset
    """
    folder = writing.data_folder(folder)
    out = writing.output_path(folder, out)
    problems, rows = [], []
    if not (folder / "recordings").is_dir():
        found = "expected the folder recordings/, as `git clone` makes it"
        raise PrepareError(folder, [found])
    files = walking.audio_files(folder, "fsdd", ["recordings"])
    clips = walking.by_stem(files, problems)
    for stem, path in clips.items():
        if clip := CLIP.fullmatch(stem):
            split = "test" if int(clip["index"]) in TEST_INDICES else "train"
            digit, speaker, index = clip.groups()
            rows.append((path, digit, split, speaker, index))
        else:
            problems.append(f"{path}: expected a name such as 7_theo_12.wav")
    if not clips:
        problems.append("recordings/: expected clips such as 7_theo_12.wav, found none")
    if problems:
        raise PrepareError(folder, problems)
    columns = ("path", "label", "split", "speaker", "index")
    writing.write_manifest(out, folder, columns, rows, overwrite, "fsdd")
    writing.tell_counts("fsdd", (row[2] for row in rows), OFFICIAL)
    return out
