"""Writes the manifest of ESC-10 with its five folds.

    python -m recipes.esc10.prepare --data FOLDER

The folder is one of

- ESC-10 as published: `001 - Dog bark/1-100032-A.ogg`, ten class folders;
- ESC-50 as published: `meta/esc50.csv`, whose column `esc10` marks the clips;
- any other folder with a `manifest.csv` of columns path, label and fold: used as it is.

The first two get a file `esc10.csv` in the folder, as paths in it are relative to it;
another file of that name stays, and is refused.
"""

import sys
from pathlib import Path

from keras_asit import data
from keras_asit.data.prepare import check_esc10 as check
from keras_asit.data.prepare import esc10
from recipes import prepare_command


def prepare(folder, out=None, overwrite=False):
    """Finds the clips of ESC-10 in a folder and checks their folds.

    Args:
        folder: A folder in one of the three layouts.
        out, overwrite: As of `data.prepare`, where a manifest is written.

    Returns:
        Path of the manifest.

    Raises:
        ValueError: If the layout is another, columns, classes or folds are missing, a
            recording has clips in several folds, or `esc10.csv` is another file.
    """
    manifest = Path(folder) / "manifest.csv"
    # Beside ESC-50's own table it is the manifest of all fifty classes.
    if not manifest.is_file() or (Path(folder) / "meta" / "esc50.csv").is_file():
        return esc10(folder, out=out, overwrite=overwrite)
    check(data.read_manifest(manifest))
    return manifest


def main(arguments=None):
    return prepare_command.main(__doc__.splitlines()[0], prepare, arguments)


if __name__ == "__main__":
    sys.exit(main())
