"""Presets: an architecture and its weights, by name, directory or address."""

from keras_asit.presets.architectures import names
from keras_asit.presets.directory import save
from keras_asit.presets.loading import describe, load
from keras_asit.presets.positions import resized
from keras_asit.presets.vision import from_vision_transformer

__all__ = ["describe", "from_vision_transformer", "load", "names", "resized", "save"]
