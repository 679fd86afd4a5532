"""Backbone, pretrainer and classifier."""

from keras_asit.models.backbone import ASiTBackbone
from keras_asit.models.classifier import ASiTClassifier
from keras_asit.models.pretrainer import ASiTPretrainer

__all__ = ["ASiTBackbone", "ASiTClassifier", "ASiTPretrainer"]
