"""Writes the manifest of the AudioSet clips that are on disk, with their split.

    python -m recipes.audioset_pretrain.prepare --data FOLDER

The folder holds those parts of AudioSet that are trained on, as audio files named by
YouTube id, and the official tables of them, `balanced_train_segments.csv` for example.
Labels are not used. Clips that are not there are counted and told. For two million
clips write shards of the manifest (`asit shards`, docs/data.md): they are read faster.
"""

import sys

from keras_asit.data.prepare import audioset
from recipes import prepare_command


def main(arguments=None):
    return prepare_command.main(__doc__.splitlines()[0], audioset, arguments)


if __name__ == "__main__":
    sys.exit(main())
