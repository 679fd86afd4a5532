"""Views from shards in one TensorFlow graph: nothing of Python runs for a clip.

The graph reads the shards one after the other, so it suits disks of a network, and
may run elsewhere: on the workers of a tf.data service. The random numbers of a clip
are those it would have as a file (`data/draws.py`), so its views are the same.
"""

from keras_asit.data import draws
from keras_asit.data.shards.layout import BYTES, FULL_SCALE
from keras_asit.data.tf_batches import as_features, views_of, with_length

OPEN_SHARDS = 16  # that clips come from in turn
SHUFFLE_BUFFER = 512  # clips that are held to draw from


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
        spans = passes_of(passes)
        records = spans.flat_map(lambda span: _records(shards, span, examples, shuffle))
        views = records.map(to_views, num_parallel_calls=workers, deterministic=True)
        views = views.batch(passes.batch_size, drop_remainder=passes.all_are_full)
        return with_length(views, passes.steps)
    passes.is_repeatable = False
    records = _shuffled_files(shards, shuffle)
    records = records.interleave(
        tf.data.TFRecordDataset, OPEN_SHARDS, num_parallel_calls=tf.data.AUTOTUNE
    )
    if shuffle:
        records = records.shuffle(SHUFFLE_BUFFER)
    views = records.map(
        lambda record: to_views(_any_epoch(), record),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    views = views.batch(passes.batch_size)
    by_file = tf.data.experimental.service.ShardingPolicy.DYNAMIC
    views = views.apply(tf.data.experimental.service.distribute(by_file, service))
    views = views.rebatch(passes.batch_size, passes.all_are_full)
    return with_length(views, passes.steps)


def passes_of(passes):
    """(epoch, first clip, clips) `[3]` of every epoch that a pass takes part in."""
    import tensorflow as tf

    def spans(_):
        rows = tf.numpy_function(
            lambda: passes.spans_from(passes.begin()), [], tf.int64
        )
        return tf.data.Dataset.from_tensor_slices(tf.ensure_shape(rows, (None, 3)))

    return tf.data.Dataset.from_tensors(0).flat_map(spans)


def _records(shards, span, examples, shuffle):
    """(epoch, record) of the clips of a span, in the order of the epoch."""
    import tensorflow as tf

    epoch, first, count = span[0], span[1], span[2]
    files = tf.constant(shards.files)
    if shuffle:
        seed = tf.stack([tf.constant(examples.seed, tf.int64), epoch])
        files = tf.random.experimental.stateless_shuffle(files, seed)
    records = tf.data.Dataset.from_tensor_slices(files).interleave(
        tf.data.TFRecordDataset,
        OPEN_SHARDS,
        block_length=1,
        num_parallel_calls=tf.data.AUTOTUNE,
        deterministic=True,
    )
    if shuffle:
        records = _shuffled_records(records, examples.seed, epoch)
    return records.skip(first).take(count).map(lambda record: (epoch, record))


def _shuffled_records(records, seed, epoch):
    """Records in an order that follows from the two numbers alone.

    `Dataset.shuffle` is the same operation, but mixes in TensorFlow's global seed,
    which `keras.utils.set_random_seed` sets.
    """
    import tensorflow as tf

    shuffled = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(records),
        buffer_size=SHUFFLE_BUFFER,
        seed=tf.bitcast(draws.key(seed, epoch, 0), tf.int64),
        seed2=epoch + 1,  # two zeros would mean any order
        output_types=[tf.string],
        output_shapes=[()],
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(shuffled, records.element_spec)


def _shuffled_files(shards, shuffle):
    import tensorflow as tf

    files = tf.data.Dataset.from_tensor_slices(shards.files)
    return files.shuffle(len(shards.files)) if shuffle else files


def _any_epoch():
    """A service does not know the epoch: its clips take random numbers of any."""
    import tensorflow as tf

    return tf.random.uniform((), maxval=1 << 31, dtype=tf.int64)


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
