"""Manifests of published data sets, from the folders that their archives make."""

from keras_asit.data.prepare.audioset import AUDIOSET_CLASSES, audioset
from keras_asit.data.prepare.esc10 import check_esc10, esc10
from keras_asit.data.prepare.esc50 import ESC50_CLASSES, esc50
from keras_asit.data.prepare.fsdd import fsdd
from keras_asit.data.prepare.speech_commands import speech_commands
from keras_asit.data.prepare.voxceleb1 import voxceleb1

__all__ = [
    "AUDIOSET_CLASSES",
    "ESC50_CLASSES",
    "audioset",
    "check_esc10",
    "esc10",
    "esc50",
    "fsdd",
    "speech_commands",
    "voxceleb1",
]
