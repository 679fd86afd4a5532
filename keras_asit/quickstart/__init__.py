"""The main job of the command line."""

from keras_asit.quickstart.job import Settings, last_line, run

__all__ = ["Settings", "last_line", "run"]
