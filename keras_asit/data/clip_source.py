"""What the dataset functions take as their source."""

import os

from keras_asit.data.clips import AudioFiles
from keras_asit.data.shards.reading import ShardClips, Shards, is_shards
from keras_asit.data.sources import as_manifest


def clip_source(source, sample_rate):
    """The clips of a source, for a `ClipReader`.

    Args:
        source: A `Manifest`, the path of one, a list of audio paths, a folder of
            shards, or `Shards`.
        sample_rate: Rate in Hz that clips are resampled to.
    """
    if isinstance(source, Shards):
        return ShardClips(source, sample_rate)
    if isinstance(source, (str, os.PathLike)) and is_shards(source):
        return ShardClips(Shards(source), sample_rate)
    return AudioFiles(as_manifest(source), sample_rate)
