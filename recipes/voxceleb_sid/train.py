"""Speaker identification on VoxCeleb1, by one of two protocols.

    python -m recipes.voxceleb_sid.train --data CSV --out DIR --backbone PRESET
        --protocol superb_frozen

A run that was cut off goes on where it was: give it the same command. Each protocol has
its own folder in DIR with its own results, `superb_frozen/results.md` and
`full/results.md`: what they measure is not the same.
"""

import sys

from keras_asit.models import SuperbClassifier
from recipes import official_split_command
from recipes.voxceleb_sid import config


def superb_classifier(backbone, class_names):
    """SUPERB's head on a frozen backbone, for `training.fine_tune`."""
    return SuperbClassifier(backbone, len(class_names), class_names=class_names)


CLASSIFIERS = {"superb_frozen": superb_classifier, "full": None}


def main(arguments=None):
    return official_split_command.main(
        config,
        arguments,
        classifiers=CLASSIFIERS,
        cache=False,  # 1,200 hours
    )


if __name__ == "__main__":
    sys.exit(main())
