"""Pretraining and fine-tuning runs, as the command line and the recipes make them.

Small functions over the library's public parts; a notebook can call or copy them.
"""

from keras_asit.training.budget import Budget
from keras_asit.training.epochs import AverageEpochs, BestEpoch, EpochBar
from keras_asit.training.fine_tune import FineTuned, adapted, fine_tune
from keras_asit.training.fine_tuning import FineTuning, clip_probabilities
from keras_asit.training.pretraining import pretrain
from keras_asit.training.protocol import Protocol
from keras_asit.training.seeding import seeded
from keras_asit.training.small_model import SmallModel, clip_log_mel, normalisation

__all__ = [
    "AverageEpochs",
    "BestEpoch",
    "Budget",
    "EpochBar",
    "FineTuned",
    "FineTuning",
    "Protocol",
    "SmallModel",
    "adapted",
    "clip_log_mel",
    "clip_probabilities",
    "fine_tune",
    "normalisation",
    "pretrain",
    "seeded",
]
