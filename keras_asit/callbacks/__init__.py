"""Callbacks for `fit`."""

from keras_asit.callbacks.checkpoint import Checkpoint
from keras_asit.callbacks.doctor import Doctor
from keras_asit.callbacks.ema_teacher import EMATeacher
from keras_asit.callbacks.probe import Probe
from keras_asit.callbacks.progress_bar import ProgressBar
from keras_asit.callbacks.tensorboard import TensorBoard

__all__ = ["Checkpoint", "Doctor", "EMATeacher", "Probe", "ProgressBar", "TensorBoard"]
