"""Writes the manifest of the AudioSet clips that are on disk, with their split.

    python -m recipes.audioset_20k.prepare --data FOLDER

The folder holds the balanced and the evaluation part as audio files named
by YouTube id, and the official tables: `balanced_train_segments.csv` and
`eval_segments.csv`.
Clips that are not there are counted and told.
"""

import sys

from keras_asit.data.prepare import audioset
from recipes import prepare_command


def main(arguments=None):
    return prepare_command.main(__doc__.splitlines()[0], audioset, arguments)


if __name__ == "__main__":
    sys.exit(main())
