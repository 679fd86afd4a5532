"""Clips to clean views: what the pretrainer trains on."""

import functools

import keras
import numpy as np

from keras_asit.audio import tensorflow_io
from keras_asit.data.batches import (
    checked_count,
    checked_samples,
    checked_seed,
    feature_layer,
    make_batches,
)
from keras_asit.data.clip_source import clip_source
from keras_asit.data.clips import ClipReader, rotated_part
from keras_asit.data.examples import ClipExamples
from keras_asit.data.sampling import InOrder, Shuffled
from keras_asit.data.shards.reading import ShardClips
from keras_asit.data.shards.streaming import stream_views
from keras_asit.data.tf_batches import tf_batches
from keras_asit.data.views import first_samples


def pretraining_dataset(
    source,
    batch_size,
    sample_rate=32000,
    crop_seconds=6.0,
    views=2,
    seed=0,
    features="fbank",
    frontend=None,
    shift_probability=0.5,
    shuffle=True,
    cache=False,
    drop_remainder=True,
    workers=None,
    max_failure_share=0.05,
    service=None,
    decoder="soundfile",
):
    """Clean views of clips without labels, shuffled anew in every epoch.

    A clip is read, rotated by a random number of samples, and cropped at
    random once a view (Section III of the paper: two crops of 6 s); clips
    shorter than a crop end in zeros. Rotation is option 20 of the profiles.

    A clip that cannot be read is passed over: the next readable clip of the
    manifest takes its place, so that batches and epochs keep their size. At
    the end of an epoch a warning counts and names such clips.

    The draws depend on the seed, the epoch and the clip only, not on threads
    or on the backend, nor on whether the clip is a file or in a shard. An epoch is one
    pass over the dataset. `dataset.state(batches)` is the position after so many
    batches, a dict for JSON; `restore(state)` of a dataset that is made alike lets its
    next pass begin there.

    Of a file much longer than its views only these are decoded. On TensorFlow shards
    are read in the graph, one record behind the other: their order is the seed's too,
    but another than that of files, and without `shuffle` it is that of the shards, not
    the manifest's.

    Args:
        source: A `Manifest`, the path of one, a list of audio paths, or a folder of
            shards (`asit shards`).
        batch_size: Clips in a batch.
        sample_rate: Rate in Hz that clips are resampled to.
        crop_seconds: Length of a view.
        views: Views of each clip.
        seed: Integer that fixes orders, shifts and crops; None draws one.
        features: `"fbank"`, or `"waveform"` for a filterbank that runs in the
            model, on the accelerator.
        frontend: The `LogMelFilterbank` to use, best that of the backbone. By
            default normalised as a backbone's default one, by AudioSet's mean and
            deviation, with whole patches of frames.
        shift_probability: Probability of the rotation.
        shuffle: Whether clips come in random order.
        cache: Whether waveforms stay in memory after the first epoch.
        drop_remainder: Whether clips that fill no batch are left out.
        workers: Threads that read; one a processor by default.
        max_failure_share: Share of clips that may be unreadable.
        service: Address of a tf.data service, `"grpc://host:port"`, whose workers make
            the views of shards: each clip once an epoch, in no certain order, with
            random numbers of no certain epoch, so without a position.
        decoder: `"soundfile"`, or `"tensorflow-io"`, which decodes and resamples in
            the TensorFlow graph where that optional extra works.

    Output shape:
        Batches `[batch, views, frames, mel bins]`, or `[batch, views,
        samples]`, float32: a `tf.data.Dataset` on the TensorFlow backend, a
        `keras.utils.PyDataset` on the others.

    Raises:
        ValueError: for arguments out of range; `TooManyBrokenFiles`, a
            `ValueError`, when more clips fail than may. Inside `tf.data` it
            arrives as `tf.errors.InvalidArgumentError` with the same text.

    Example:

    >>> manifest = keras_asit.data.synthetic.write_dataset(
    ...     "events", splits={"train": 2}, seconds=0.5)
    >>> train = pretraining_dataset(
    ...     manifest, batch_size=8, crop_seconds=0.4, frontend=backbone.frontend)
    >>> tuple(next(iter(train)).shape)  # as pretrainer.fit(train) takes them
    (8, 2, 32, 32)
    """
    if not 0 <= shift_probability <= 1:
        raise ValueError(
            f"Expected shift_probability in [0, 1]. Received: {shift_probability}"
        )
    seed = checked_seed(seed)
    views = checked_count("views", views)
    batch_size = checked_count("batch_size", batch_size)
    samples = checked_samples(crop_seconds, sample_rate)
    frontend = feature_layer(features, frontend, sample_rate, samples)
    clips = clip_source(source, sample_rate)
    reader = ClipReader(clips, sample_rate, cache, max_failure_share)
    sampler = (Shuffled if shuffle else InOrder)(range(len(reader)))
    examples = Views(reader, seed, sampler, views, samples, shift_probability)
    in_graph = _in_graph(clips, cache, shuffle, service, decoder)
    return make_batches(
        examples, batch_size, frontend, drop_remainder, workers, in_graph
    )


def _in_graph(clips, cache, shuffle, service, decoder):
    """What makes the batches where a TensorFlow graph does it all, or None."""
    if decoder not in ("soundfile", "tensorflow-io"):
        raise ValueError(
            f'Expected decoder "soundfile" or "tensorflow-io". Received: {decoder!r}'
        )
    on_tensorflow = keras.backend.backend() == "tensorflow"
    of_shards = isinstance(clips, ShardClips)
    streams = of_shards and clips.is_at_rate_of_shards and not cache
    streams = streams and decoder == "soundfile"
    if streams and (on_tensorflow or service is None):
        return functools.partial(
            stream_views, shards=clips.shards, shuffle=shuffle, service=service
        )
    if service is not None:
        raise ValueError(
            "Expected shards at sample_rate, cache=False and the TensorFlow backend "
            "for a tf.data service: its workers read nothing else. Write some: asit "
            "shards MANIFEST OUT"
        )
    if decoder == "soundfile":
        return None
    if not on_tensorflow or cache or of_shards:
        raise ValueError(
            "Expected files, the TensorFlow backend and cache=False for the decoder "
            f"tensorflow-io. Received: {'shards' if of_shards else 'files'}, "
            f"{keras.backend.backend()}, cache={cache}. The default decoder does "
            "everything, on every backend"
        )
    tensorflow_io.check_tensorflow_io()
    decode = functools.partial(tensorflow_io.decode, sample_rate=clips.sample_rate)
    return functools.partial(tf_batches, decode=decode)


class Views(ClipExamples):
    """Random crops of each clip: `[views, samples]`."""

    def __init__(self, reader, seed, sampler, views, samples, shift_probability):
        options = {"shift_probability": shift_probability}
        shapes, dtypes = [(views, samples)], ["float32"]
        super().__init__(reader, seed, shapes, dtypes, sampler, options=options)
        self.views, self.samples = views, samples
        self.shift_probability = shift_probability

    def read(self, index, key):
        def crops(clip):
            starts = first_samples(
                key, clip.samples, self.samples, self.views, self.shift_probability
            )
            return [rotated_part(clip, int(start), self.samples) for start in starts]

        needed = self.views * self.samples
        crops, _ = self.reader.attempt_from(index, crops, needed)
        return (np.stack(crops),)
