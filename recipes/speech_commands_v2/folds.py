"""Pretraining and fine-tuning on folds of Speech Commands' test part.

    python -m recipes.speech_commands_v2.folds --data MANIFEST --out DIR [--held-out 1]

The manifest has the columns path, label and fold, folds without a speaker in common.
Every stage of a fold leaves its result in DIR when it is done, so that a run that was
cut off goes on where it was, and folds can be run one by one. `results.json` and
`results.md` sum up all that is there.
"""

import sys

from recipes import cross_validation_command
from recipes.speech_commands_v2 import folds_config


def check(manifest):
    """Raises ValueError for a manifest without folds, or a speaker in two of them."""
    columns = manifest.columns
    if "fold" not in columns or len({*columns["fold"]} - {""}) < 2:
        raise ValueError(
            "Expected a column fold of two folds or more; received the columns "
            f"{sorted(columns)}. The official splits are for recipes."
            "speech_commands_v2.train."
        )
    folds = {}
    for speaker, fold in zip(columns.get("speaker", ()), columns["fold"]):
        if speaker and folds.setdefault(speaker, fold) != fold:
            raise ValueError(
                f"Expected folds without a speaker in common; received {speaker} in "
                f"the folds {folds[speaker]} and {fold}. Put all clips of a speaker "
                "into one fold."
            )


def main(arguments=None):
    return cross_validation_command.main(folds_config, check, arguments, name="folds")


if __name__ == "__main__":
    sys.exit(main())
