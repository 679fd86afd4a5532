"""Presets: an architecture and its weights, by name, directory or address."""

from keras_asit.presets.architectures import names
from keras_asit.presets.directory import save
from keras_asit.presets.loading import describe, load

__all__ = ["describe", "load", "names", "save"]
