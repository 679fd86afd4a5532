"""Pretraining and fine-tuning on FSDD, one speaker held out after the other.

    python -m recipes.fsdd.train --data MANIFEST --out DIR [--held-out theo]

Every stage of a speaker leaves its result in DIR when it is done, so that a run that
was cut off goes on where it was, and speakers can be run one by one. `results.json` and
`results.md` sum up all that is there.
"""

import sys

from recipes import cross_validation_command
from recipes.fsdd import config, prepare


def main(arguments=None):
    return cross_validation_command.main(config, prepare.check, arguments)


if __name__ == "__main__":
    sys.exit(main())
