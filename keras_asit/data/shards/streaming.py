"""Views from shards in one TensorFlow graph: nothing of Python runs for a clip.

The graph reads the shards one after the other, so it suits disks of a network, and
may run elsewhere: on the workers of a tf.data service. The random numbers of a clip
are those it would have as a file (`data/draws.py`), so its views are the same.
"""

import random

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

    if service is None:
        passes.order = f"{passes.order}, by shards"

        def batches_from(first):
            spans = tf.numpy_function(passes.spans_from, [first], tf.int64)
            spans = tf.data.Dataset.from_tensor_slices(
                tf.ensure_shape(spans, (None, 3))
            )
            records = spans.flat_map(
                lambda span: _records(shards, span, examples, shuffle)
            )
            views = records.map(
                to_views, num_parallel_calls=workers, deterministic=True
            )
            views = views.batch(passes.batch_size, drop_remainder=passes.all_are_full)
            return views.map(lambda views: (views,))

        return in_passes(passes, batches_from)
    passes.is_repeatable = False
    return _of_service(passes, shards, to_views, shuffle, service)


def _of_service(passes, shards, to_views, shuffle, address):
    """Batches that the workers of a tf.data service make.

    A worker asks for the next shard when it has read one, so it must not look ahead in
    their list. Python's random numbers do not reach the workers, and TensorFlow's
    global seed would give every epoch the same ones.
    """
    import tensorflow as tf

    files = list(shards.files)
    if shuffle:
        random.Random(passes.examples.seed).shuffle(files)
    records = tf.data.Dataset.from_tensor_slices(files)
    records = records.interleave(
        tf.data.TFRecordDataset, OPEN_SHARDS, num_parallel_calls=tf.data.AUTOTUNE
    )
    if shuffle:
        records = _shuffled_records(records, _held_clips(shards), ANY, ANY)
    views = records.map(
        lambda record: to_views(_any_epoch(), record),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    views = views.batch(passes.batch_size)
    by_file = tf.data.experimental.service.ShardingPolicy.DYNAMIC
    views = views.apply(tf.data.experimental.service.distribute(by_file, address))
    views = views.rebatch(passes.batch_size, passes.all_are_full)
    return with_length(views.prefetch(BATCHES_AHEAD), passes.steps)


def _records(shards, span, examples, shuffle):
    """(epoch, record) of the clips of a span, in the order of the epoch."""
    import tensorflow as tf

    epoch, first, count = span[0], span[1], span[2]
    numbers = tf.range(len(shards.files), dtype=tf.int64)
    if shuffle:
        seed = tf.stack([tf.constant(examples.seed, tf.int64), epoch])
        numbers = tf.random.experimental.stateless_shuffle(numbers, seed)
    records = tf.data.Dataset.from_tensor_slices(numbers).interleave(
        _records_of_shard(shards, examples.reader),
        OPEN_SHARDS,
        block_length=1,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    # Only where shards are damaged is a clip read twice in an epoch.
    records = records.repeat().take(shards.clips)
    if shuffle:
        seed = tf.bitcast(draws.key(examples.seed, epoch, 0), tf.int64)
        records = _shuffled_records(records, _held_clips(shards), seed, epoch + 1)
    return records.skip(first).take(count).map(lambda record: (epoch, record))


def _records_of_shard(shards, reader):
    """A function from the number of a shard to its records, as far as they are sound.

    TensorFlow stops at the first damaged record of a file. The clips from there on are
    passed over, as a broken file is. A file that cannot be opened is looked at first:
    `ignore_errors` would try for ever.
    """
    import tensorflow as tf

    files = tf.constant(shards.files)
    clips = tf.constant([shard["clips"] for shard in shards.index.shards], tf.int64)

    def pass_over(shard, sound):
        behind = shards.clips_of(int(shard))[int(sound) :]
        reason = f"lies behind damage in {shards.files[int(shard)]}. Copy it again."
        try:
            reader.pass_over(behind, reason)
        except TooManyBrokenFiles as error:
            return str(error).encode()
        return b""

    def opens(shard):
        try:
            with open(shards.files[int(shard)], "rb") as file:
                return bool(file.read(1))
        except OSError:
            return False

    def records(shard):
        def look(number, record):
            error = tf.cond(
                tf.equal(record, b"") & (number < clips[shard]),
                lambda: tf.numpy_function(pass_over, [shard, number], tf.string),
                lambda: tf.constant(b""),
            )
            return checked(error, [record])[0]

        is_there = tf.numpy_function(opens, [shard], tf.bool)
        sound = tf.data.TFRecordDataset(files[shard]).ignore_errors()
        sound = sound.take(tf.where(is_there, clips[shard], 0))
        ended = tf.data.Dataset.from_tensors(b"")
        looked_at = sound.concatenate(ended).enumerate().map(look)
        return looked_at.filter(lambda record: tf.strings.length(record) > 0)

    return records


def _held_clips(shards):
    """How many clips to draw from: fewer where they are long."""
    longest = SHUFFLE_BYTES * shards.clips // max(1, shards.index.bytes)
    return max(1, min(SHUFFLE_CLIPS, longest))


def _shuffled_records(records, held, seed, seed2):
    """Records in an order that follows from the two seeds alone, or in any.

    `Dataset.shuffle` is the same operation, but mixes in TensorFlow's global seed,
    which `keras.utils.set_random_seed` sets.
    """
    import tensorflow as tf

    shuffled = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(records),
        buffer_size=held,
        seed=tf.cast(seed, tf.int64),
        seed2=tf.cast(seed2, tf.int64),
        output_types=[tf.string],
        output_shapes=[()],
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(shuffled, records.element_spec)


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
