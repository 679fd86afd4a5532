"""Writes the manifest of ESC-50 with its five official folds.

    python -m recipes.esc50.prepare --data FOLDER

The folder is ESC-50 as published: `meta/esc50.csv` and `audio/`.
"""

import sys

from keras_asit.data.prepare import esc50
from recipes import prepare_command

FOLDS = {"1", "2", "3", "4", "5"}
NUM_CLASSES = 50


def check(manifest):
    """Raises unless a manifest is of ESC-50's fifty classes in five folds.

    Raises:
        ValueError: If it is another.
    """
    folds = {*manifest.columns.get("fold", ())} - {""}
    if folds != FOLDS or len(manifest.class_names) != NUM_CLASSES:
        raise ValueError(
            f"Expected {NUM_CLASSES} classes and the folds {sorted(FOLDS)}; received "
            f"{len(manifest.class_names)} classes and the folds {sorted(folds)}. Write "
            "the manifest with the recipe's prepare."
        )


def main(arguments=None):
    return prepare_command.main(__doc__.splitlines()[0], esc50, arguments)


if __name__ == "__main__":
    sys.exit(main())
