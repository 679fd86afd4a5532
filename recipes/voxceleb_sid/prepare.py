"""Writes the manifest of VoxCeleb1 with its official split for identification.

    python -m recipes.voxceleb_sid.prepare --data FOLDER

The folder holds the dev and the test archive, unpacked, and `iden_split.txt`, which is
the split: 138,361 clips for training, 6,904 for validation and 8,251 for the test.
"""

import sys

from keras_asit.data.prepare import voxceleb1
from recipes import prepare_command

prepare = voxceleb1


def main(arguments=None):
    return prepare_command.main(__doc__.splitlines()[0], prepare, arguments)


if __name__ == "__main__":
    sys.exit(main())
