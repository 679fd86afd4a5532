"""Fine-tuning on Speech Commands V1, 12 classes.

    python -m recipes.speech_commands_v1.train --data CSV --out DIR --backbone PRESET

A run that was cut off goes on where it was: give it the same command. `results.json`
and `results.md` in DIR sum up its seeds.
"""

import sys

from recipes import official_split_command
from recipes.speech_commands_v1 import config


def main(arguments=None):
    return official_split_command.main(config, arguments)


if __name__ == "__main__":
    sys.exit(main())
