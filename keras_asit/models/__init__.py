"""Backbone, pretrainer and classifiers."""

from keras_asit.models.backbone import ASiTBackbone
from keras_asit.models.classifier import ASiTClassifier
from keras_asit.models.hidden_states import hidden_states
from keras_asit.models.pretrainer import ASiTPretrainer
from keras_asit.models.superb import SuperbClassifier

__all__ = [
    "ASiTBackbone",
    "ASiTClassifier",
    "ASiTPretrainer",
    "SuperbClassifier",
    "hidden_states",
]
