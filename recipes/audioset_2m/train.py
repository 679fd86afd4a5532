"""Fine-tuning on all of AudioSet, 527 classes.

    python -m recipes.audioset_2m.train --data CSV --out DIR --backbone PRESET

A run that was cut off goes on where it was: give it the same command. `results.json`
and `results.md` in DIR sum up its seeds.
"""

import sys

from recipes import official_split_command
from recipes.audioset_2m import config


def main(arguments=None):
    return official_split_command.main(config, arguments)


if __name__ == "__main__":
    sys.exit(main())
