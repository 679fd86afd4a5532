"""Writes the manifest of the Free Spoken Digit Dataset.

    python -m recipes.fsdd.prepare --data FOLDER

The folder is the repository as cloned, with `recordings/7_theo_4.wav`, or any other
folder with a `manifest.csv` of columns path, label and speaker: used as it is.
"""

import sys
from pathlib import Path

from keras_asit import data
from keras_asit.data.prepare import fsdd
from recipes import prepare_command


def prepare(folder, out=None, overwrite=False):
    """Finds the clips in a folder and checks them; returns the manifest's path.

    Args:
        folder: A folder in one of the two layouts.
        out, overwrite: As of `data.prepare`, where a manifest is written.

    Raises:
        ValueError: If the layout is another, or columns or digits are missing.
    """
    manifest = Path(folder) / "manifest.csv"
    if not manifest.is_file():
        return fsdd(folder, out=out, overwrite=overwrite)
    check(data.read_manifest(manifest))
    return manifest


def check(manifest):
    """Raises ValueError for a manifest without ten digits of two speakers or more."""
    speakers = {*manifest.columns.get("speaker", [])} - {""}
    digits = set(manifest.class_names)
    if digits != {str(digit) for digit in range(10)} or len(speakers) < 2:
        raise ValueError(
            "Expected the digits 0 to 9 as labels and a column speaker with two "
            f"speakers or more; received the labels {sorted(digits)[:12]} and "
            f"{len(speakers)} speakers. python -m recipes.fsdd.prepare writes one."
        )


def main(arguments=None):
    return prepare_command.main(__doc__.splitlines()[0], prepare, arguments)


if __name__ == "__main__":
    sys.exit(main())
