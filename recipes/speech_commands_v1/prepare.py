"""Writes the manifest of Speech Commands V1 with its official split, 12 classes.

    python -m recipes.speech_commands_v1.prepare --data FOLDER

The folder holds both archives, unpacked: the training data (v0.01), with its word
folders, `_background_noise_` and the two lists, and the separate official test set.
`train` and `valid` get silence of random seconds of the background noise, written
beside the manifest, and as much of the other words; `test` is the official test set.
"""

import sys
from functools import partial

from keras_asit.data.prepare import speech_commands
from recipes import prepare_command

prepare = partial(speech_commands, version=1, classes=12)


def main(arguments=None):
    return prepare_command.main(__doc__.splitlines()[0], prepare, arguments)


if __name__ == "__main__":
    sys.exit(main())
