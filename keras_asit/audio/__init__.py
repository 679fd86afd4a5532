"""Audio files to waveforms, waveforms to log-mel filterbanks."""

from keras_asit.audio.filterbank import LogMelFilterbank
from keras_asit.audio.reading import AudioError, length, read

__all__ = ["AudioError", "LogMelFilterbank", "length", "read"]
