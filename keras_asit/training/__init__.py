"""Pretraining and fine-tuning runs, as the command line and the recipes make them.

Small functions over the library's public parts; a notebook can call or copy them.
"""

from keras_asit.training.budget import Budget
from keras_asit.training.fine_tuning import FineTuning, clip_probabilities
from keras_asit.training.pretraining import pretrain
from keras_asit.training.seeding import seeded
from keras_asit.training.small_model import SmallModel, clip_log_mel, normalisation

__all__ = [
    "Budget",
    "FineTuning",
    "SmallModel",
    "clip_log_mel",
    "clip_probabilities",
    "normalisation",
    "pretrain",
    "seeded",
]
