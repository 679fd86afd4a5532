"""Callbacks for `fit`."""

from keras_asit.callbacks.checkpoint import Checkpoint
from keras_asit.callbacks.doctor import Doctor
from keras_asit.callbacks.ema_teacher import EMATeacher
from keras_asit.callbacks.progress_bar import ProgressBar

__all__ = ["Checkpoint", "Doctor", "EMATeacher", "ProgressBar"]
