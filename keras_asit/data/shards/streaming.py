"""Views from shards in one TensorFlow graph: nothing of Python runs for a clip.

The graph reads the shards one after the other, so it suits disks of a network, and
may run elsewhere: on the workers of a tf.data service. The random numbers of a clip
are those it would have as a file (`data/draws.py`), so its views are the same.
"""

import contextlib
import functools
import random
import threading

import numpy as np

from keras_asit import replicas
from keras_asit.data import draws
from keras_asit.data.clips import TooManyBrokenFiles
from keras_asit.data.examples import BATCHES_AHEAD
from keras_asit.data.shards.layout import BYTES, FULL_SCALE
from keras_asit.data.tf_batches import (
    as_features,
    checked,
    in_passes,
    views_of,
    with_length,
)

OPEN_SHARDS = 16  # that clips come from in turn
SHUFFLE_CLIPS, SHUFFLE_BYTES = 512, 512 << 20  # most that is held to draw from
ANY = 0  # two such seeds are any to TensorFlow's operations, whatever its global one


def stream_views(passes, frontend, workers, shards, shuffle, service=None):
    """Batches of views of the clips of shards, as `tf.data`.

    Args:
        passes: A `Passes` over `Views`.
        frontend: Layer that turns the waveforms into features, or None.
        workers: Clips that are worked on at once.
        shards: The `Shards`.
        shuffle: Whether every epoch has another order.
        service: Address of a tf.data service, `"grpc://host:port"`, or None.
    """
    import tensorflow as tf

    examples = passes.examples

    def to_views(epoch, record):
        clip, pcm = parsed(record)
        key = draws.key(examples.seed, epoch, clip)
        length = tf.strings.length(pcm) // BYTES
        waves = views_of(pcm, length, rotated_part, key, examples)
        return as_features(waves, frontend, examples, key)

    if service is not None:
        return _of_service(passes, shards, to_views, shuffle, service)
    passes.order = f"{passes.order}, by shards"
    damage = _Damage(shards, examples.reader)

    def spans_from(number, first):
        spans = tf.numpy_function(passes.spans_from, [first], tf.int64)
        spans = tf.data.Dataset.from_tensor_slices(tf.ensure_shape(spans, (None, 3)))
        return spans.map(lambda span: (number, span))

    def records_of(number, span):
        records = _records(shards, span, examples, shuffle)
        return records.map(lambda again, record: (number, span[0], again, record))

    def clips_of(starts):
        return starts.flat_map(spans_from).flat_map(records_of)

    def to_example(epoch, again, record):
        error = tf.cond(
            again > 0,
            lambda: tf.numpy_function(damage.report, [], tf.string),
            lambda: tf.constant(b""),
        )
        [record] = checked(error, [record])
        return (to_views(epoch, record),)

    return in_passes(passes, clips_of, to_example, workers)


def _of_service(passes, shards, to_views, shuffle, address):
    """Batches that the workers of a tf.data service make.

    A worker asks for the next shard when it has read one, so it must not look ahead in
    their list. Python's random numbers do not reach the workers, and TensorFlow's
    global seed would give every epoch the same ones.
    """
    import tensorflow as tf

    check_service(replicas.workers())
    passes.is_repeatable = False
    files = list(shards.files)
    if shuffle:
        random.Random(passes.examples.seed).shuffle(files)
    records = tf.data.Dataset.from_tensor_slices(files)
    records = records.interleave(
        tf.data.TFRecordDataset, OPEN_SHARDS, num_parallel_calls=tf.data.AUTOTUNE
    )
    if shuffle:
        records = _shuffled(records, _held_clips(shards), ANY, ANY)
    views = records.map(
        lambda record: to_views(_any_epoch(), record),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    views = views.batch(passes.batch_size)
    by_file = tf.data.experimental.service.ShardingPolicy.DYNAMIC
    views = views.apply(tf.data.experimental.service.distribute(by_file, address))
    views = views.rebatch(passes.batch_size, passes.all_are_full)
    return with_length(views.prefetch(BATCHES_AHEAD), passes.steps)


def check_service(workers):
    """Refuses a service where `tf.distribute` spans several processes.

    Each of them would be given the clips in an order of its own, of which it then
    keeps every so-manieth batch: some clips would come twice in an epoch, some never.

    Args:
        workers: Number of processes.

    Raises:
        ValueError: For more than one.
    """
    if workers > 1:
        raise ValueError(
            "Expected one process where a tf.data service makes the views. Received: a "
            f"strategy of {workers}, each of which would see other clips. Make the "
            "dataset without service=..."
        )


def _records(shards, span, examples, shuffle):
    """(0, record) of the clips of a span, in the order of the epoch.

    TensorFlow stops at the first damaged record of a shard. In place of the clips from
    there on others come a second time, as (1, record).
    """
    import tensorflow as tf

    epoch, first, count = span[0], span[1], span[2]
    numbers = tf.range(len(shards.files), dtype=tf.int64)
    if shuffle:
        seed = tf.stack([tf.constant(examples.seed, tf.int64), epoch])
        numbers = tf.random.experimental.stateless_shuffle(numbers, seed)
    sound = tf.data.Dataset.from_tensor_slices(numbers).interleave(
        _sound_records(shards),
        OPEN_SHARDS,
        block_length=1,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    once, again = (tf.data.Dataset.from_tensors(flag).repeat() for flag in (0, 1))
    records = tf.data.Dataset.zip((once, sound))
    records = records.concatenate(tf.data.Dataset.zip((again, sound.repeat())))
    records = records.take(shards.clips)
    if shuffle:
        seed = tf.bitcast(draws.key(examples.seed, epoch, 0), tf.int64)
        records = _shuffled(records, _held_clips(shards), seed, epoch + 1)
    return records.skip(first).take(count)


def _sound_records(shards):
    """A function from the number of a shard to its records, up to damage."""
    import tensorflow as tf

    files = tf.constant(shards.files)

    def opens(shard):  # else `ignore_errors` would try for ever
        try:
            with open(shards.files[int(shard)], "rb") as file:
                return np.int64(bool(file.read(1)))
        except OSError:
            return np.int64(0)

    def records(shard):
        is_there = tf.numpy_function(opens, [shard], tf.int64)
        sound = tf.data.TFRecordDataset(files[shard]).ignore_errors()
        return sound.take(-is_there)  # -1: all

    return records


class _Damage:
    """Finds the shards that are damaged, once some clips are known to be missing.

    Args:
        shards: The `Shards`.
        reader: The `ClipReader` that is told.
    """

    def __init__(self, shards, reader):
        self.shards, self.reader = shards, reader
        self._lock = threading.Lock()

    @functools.cached_property
    def behind(self):
        """The clips behind damage, by file. Every shard is read for it, once."""
        shards = self.shards
        sound = {number: _count(file) for number, file in enumerate(shards.files)}
        behind = {n: shards.clips_of(n)[count:] for n, count in sound.items()}
        return {shards.files[n]: clips for n, clips in behind.items() if len(clips)}

    def report(self):
        """Tells the reader; what ends the run as an error, or none."""
        with self._lock:
            try:
                for file, clips in self.behind.items():
                    reason = f"lies behind damage in {file}. Copy it again."
                    self.reader.pass_over(clips, reason)
            except TooManyBrokenFiles as error:
                return str(error).encode()
        return b""


def _count(file):
    """How many records of a file are sound, up to the first that is not."""
    import tensorflow as tf

    count = 0
    with contextlib.suppress(tf.errors.OpError):
        for _ in tf.data.TFRecordDataset(file):
            count += 1
    return count


def _held_clips(shards):
    """How many clips to draw from: fewer where they are long."""
    longest = SHUFFLE_BYTES * shards.clips // max(1, shards.index.bytes)
    return max(1, min(SHUFFLE_CLIPS, longest))


def _shuffled(dataset, held, seed, seed2):
    """Elements in an order that follows from the two seeds alone, or in any.

    `Dataset.shuffle` is the same operation, but mixes in TensorFlow's global seed,
    which `keras.utils.set_random_seed` sets.
    """
    import tensorflow as tf

    shuffled = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(dataset),
        buffer_size=held,
        seed=tf.cast(seed, tf.int64),
        seed2=tf.cast(seed2, tf.int64),
        output_types=[spec.dtype for spec in tf.nest.flatten(dataset.element_spec)],
        output_shapes=[spec.shape for spec in tf.nest.flatten(dataset.element_spec)],
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(shuffled, dataset.element_spec)


def _any_epoch():
    """A service does not know the epoch: its clips take random numbers of any."""
    import tensorflow as tf

    return tf.raw_ops.RandomUniformInt(
        shape=tf.constant([], tf.int32),
        minval=tf.constant(0, tf.int64),
        maxval=tf.constant(1 << 31, tf.int64),
        seed=ANY,
        seed2=ANY,
    )


def parsed(record):
    """Number and bytes of the samples of a clip."""
    import tensorflow as tf

    features = tf.io.parse_single_example(
        record,
        {
            "audio": tf.io.FixedLenFeature((), tf.string),
            "clip": tf.io.FixedLenFeature((), tf.int64),
        },
    )
    return features["clip"], features["audio"]


def rotated_part(pcm, first, length, count):
    """As `tf_batches.rotated_part`, of bytes: what is not needed is not decoded."""
    import tensorflow as tf

    taken = tf.minimum(tf.constant(count, tf.int64), length)
    until_end = tf.minimum(taken, length - first)
    ends = tf.strings.substr(pcm, BYTES * first, BYTES * until_end)
    begins = tf.strings.substr(
        pcm, tf.constant(0, tf.int64), BYTES * (taken - until_end)
    )
    wave = tf.io.decode_raw(tf.strings.join([ends, begins]), tf.int16)
    wave = tf.cast(wave, tf.float32) / FULL_SCALE
    return tf.ensure_shape(tf.pad(wave, [[0, count - taken]]), (count,))
