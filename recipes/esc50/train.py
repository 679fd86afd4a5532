"""Fine-tuning on ESC-50, five folds.

    python -m recipes.esc50.train --data CSV --out DIR --starts preset --backbone PRESET

Every stage of a fold leaves its result in DIR when it is done, so that a run that was
cut off goes on where it was, and folds can be run one by one. `results.json` and
`results.md` sum up all that is there.
"""

import sys

from recipes import cross_validation_command
from recipes.esc50 import config, prepare


def main(arguments=None):
    return cross_validation_command.main(config, prepare.check, arguments)


if __name__ == "__main__":
    sys.exit(main())
