"""Folders of TFRecord shards: written with Apache Beam, read everywhere."""

from keras_asit.data.shards.reading import Shards
from keras_asit.data.shards.writing import write

__all__ = ["Shards", "write"]
