"""Manifests and datasets: from audio files on disk to batches that `fit` takes."""

from keras_asit.data import prepare, shards, synthetic
from keras_asit.data.clips import ClipReader
from keras_asit.data.labelled import labelled_dataset
from keras_asit.data.manifest import Manifest
from keras_asit.data.manifest_error import ManifestError
from keras_asit.data.pretraining import pretraining_dataset
from keras_asit.data.sources import read_manifest

__all__ = [
    "ClipReader",
    "Manifest",
    "ManifestError",
    "labelled_dataset",
    "prepare",
    "pretraining_dataset",
    "read_manifest",
    "shards",
    "synthetic",
]
