"""Writes the manifest of Speech Commands' official test set with five folds.

    python -m recipes.speech_commands_v2.folds_prepare --data FOLDER

The folder is the archive `speech_commands_test_set_v0.02`, unpacked: a folder of each
of the ten words, `_unknown_` and `_silence_`.
"""

import hashlib
import os
import sys

from keras_asit.data.prepare import writing
from keras_asit.data.prepare.prepare_error import PrepareError
from keras_asit.data.prepare.speech_commands_archives import read_test_set
from recipes import prepare_command

TITLE = "speech_commands_v2 folds"
COLUMNS = ("path", "label", "split", "speaker", "word", "fold")
FOLDS = 5


def fold_of(name):
    """The fold of a speaker: the same wherever, and with whatever others, it is."""
    return int(hashlib.sha1(name.encode()).hexdigest(), 16) % FOLDS + 1


def prepare(folder, out=None, overwrite=False):
    """Writes the manifest; returns its path.

    All clips of a speaker are in one fold. Silence has no speaker: there the name of
    the clip decides.

    Args:
        folder: The unpacked archive.
        out, overwrite: As of `data.prepare`.

    Raises:
        ValueError: If folders of classes are missing, or `out` has other contents.
    """
    folder = writing.data_folder(folder)
    out = writing.output_path(folder, out)
    problems = []
    clips = read_test_set(folder, folder, problems)
    if problems:
        raise PrepareError(folder, problems)
    folds = [fold_of(clip.speaker or _name(clip.path)) for clip in clips]
    writing.tell_counts(TITLE, (f"fold {fold}" for fold in folds), official={})
    rows = [(*clip, fold) for clip, fold in zip(clips, folds, strict=True)]
    return writing.write_manifest(out, folder, COLUMNS, rows, overwrite, TITLE)


def _name(path):
    return os.path.basename(path).split(".")[0]


def main(arguments=None):
    return prepare_command.main(__doc__.splitlines()[0], prepare, arguments)


if __name__ == "__main__":
    sys.exit(main())
