"""Callbacks for `fit`."""

from keras_asit.callbacks.checkpoint import Checkpoint
from keras_asit.callbacks.doctor import Doctor
from keras_asit.callbacks.ema_teacher import EMATeacher

__all__ = ["Checkpoint", "Doctor", "EMATeacher"]
