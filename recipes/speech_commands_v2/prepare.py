"""Writes the manifest of Speech Commands V2 with its official split, 35 classes.

    python -m recipes.speech_commands_v2.prepare --data FOLDER

The folder is the archive (v0.02), unpacked: 35 word folders and the two lists, which
are the split.
"""

import sys
from functools import partial

from keras_asit.data.prepare import speech_commands
from recipes import prepare_command

prepare = partial(speech_commands, version=2, classes=35)


def main(arguments=None):
    return prepare_command.main(__doc__.splitlines()[0], prepare, arguments)


if __name__ == "__main__":
    sys.exit(main())
