"""Batches on TensorFlow: a `tf.data` pipeline that asks Python for the clips."""

import atexit
import functools
import threading
import time

import numpy as np

from keras_asit.audio import AudioError
from keras_asit.data.clips import TooManyBrokenFiles
from keras_asit.data.examples import BATCHES_AHEAD
from keras_asit.data.views import first_samples


def tf_batches(passes, frontend, workers, decode=None):
    """The batches as `tf.data`; every new iterator is the next pass.

    Args:
        passes: A `Passes`.
        frontend: Layer that turns the waveforms into features, or None.
        workers: Clips that are read at once.
        decode: None, or a function that reads a clip inside the graph, from its path
            to `(waveform, reason)`, the reason empty where it could. Only for views;
            Python is then asked for the clips that it could not read.

    Returns:
        A `tf.data.Dataset` of arrays, or of tuples of them.
    """
    import tensorflow as tf

    examples = passes.examples
    calls = _TFCalls(passes)

    def by_python(row):
        dtypes = [*examples.dtypes, tf.string]
        *arrays, error = tf.numpy_function(calls.example, [row[0], row[1]], dtypes)
        arrays = checked(error, arrays)
        for array, shape in zip(arrays, examples.shapes):
            array.set_shape(shape)
        return arrays

    def in_graph(row, key):
        path = tf.numpy_function(calls.path, [row[0]], tf.string)
        wave, reason = decode(path)
        return tf.cond(
            tf.equal(reason, b""),
            lambda: [views_of(wave, tf.size(wave), rotated_part, key, examples)],
            lambda: by_python(row),
        )

    def to_example(index, key):
        row = (index, key)
        key = tf.bitcast(key, tf.uint64)
        arrays = in_graph(row, key) if decode else by_python(row)
        return as_features(arrays[0], frontend, examples, key), *arrays[1:]

    def rows_from(number, first):
        rows = tf.numpy_function(passes.rows_from, [first], tf.int64)
        rows = tf.data.Dataset.from_tensor_slices(tf.ensure_shape(rows, (None, 2)))
        return rows.map(lambda row: (number, row[0], row[1]))

    def clips_of(starts):
        return starts.flat_map(rows_from)

    return in_passes(passes, clips_of, to_example, workers)


def in_passes(passes, clips_of, to_example, workers):
    """Every iterator is a pass: begun where its first batch is asked for.

    It ends where the last one is taken from what was read ahead; so a look at a few
    batches is no pass. The number of the pass goes along with each clip, as work that
    is nested in a `flat_map` takes tf.data longer.

    Args:
        passes: A `Passes`.
        clips_of: Function of a dataset of passes, each by its number and that of its
            first batch, to a dataset of their clips: tuples of the number of the
            pass, and what tells of the clip.
        to_example: Function of what tells of a clip, to a tuple of arrays.
        workers: Clips that are worked on at once.

    Returns:
        A `tf.data.Dataset` of arrays, or of tuples of them.
    """
    import tensorflow as tf

    def begin(_):
        return tf.numpy_function(passes.begin, [], [tf.int64, tf.int64])

    def take(step, numbers, *arrays):
        error = tf.cond(
            tf.equal(step, passes.steps - 1),
            lambda: tf.numpy_function(end, [numbers[0]], tf.string),
            lambda: tf.constant(b""),
        )
        arrays = checked(error, arrays)
        return tuple(arrays) if len(arrays) > 1 else arrays[0]

    def end(number):
        try:
            passes.end(int(number))
        except TooManyBrokenFiles as error:
            return str(error).encode()
        return b""

    clips = clips_of(tf.data.Dataset.from_tensors(0).map(begin))
    examples = clips.map(
        lambda number, *clip: (number, *to_example(*clip)),
        num_parallel_calls=workers,
        deterministic=True,
    )
    batches = examples.batch(passes.batch_size, drop_remainder=passes.all_are_full)
    batches = batches.prefetch(BATCHES_AHEAD).enumerate()
    batches = batches.map(lambda step, batch: take(step, *batch))
    return with_length(batches, passes.steps)


def views_of(clip, length, part, key, examples):
    """Waveforms `[views, samples]` of a clip, in the graph.

    Args:
        clip: The clip as `part` takes it.
        length: Its samples.
        part: Function of clip, first sample, length and count: as `rotated_part`.
        key: The clip's.
        examples: The `Views` that they belong to.
    """
    import tensorflow as tf

    length = tf.cast(length, tf.int64)
    starts = first_samples(
        key, length, examples.samples, examples.views, examples.shift_probability
    )
    starts = tf.unstack(starts, examples.views)
    return tf.stack([part(clip, first, length, examples.samples) for first in starts])


def rotated_part(wave, first, length, count):
    """As `clips.rotated_part`, of a waveform in the graph."""
    import tensorflow as tf

    taken = tf.minimum(tf.constant(count, tf.int64), length)
    until_end = tf.minimum(taken, length - first)
    ends, begins = wave[first : first + until_end], wave[: taken - until_end]
    wave = tf.concat([ends, begins], axis=0)
    return tf.ensure_shape(tf.pad(wave, [[0, count - taken]]), (count,))


def as_features(waveforms, frontend, examples, key):
    """Features of the waveforms `[..., S]` of a clip; the waveforms without a frontend.

    Args:
        waveforms: A tensor of known shape.
        frontend: A `LogMelFilterbank`, or None.
        examples: The `ClipExamples` that they belong to.
        key: The clip's.
    """
    import tensorflow as tf

    if frontend is None:
        return waveforms
    shape = frontend.compute_output_shape(waveforms.shape)
    features = tf.ensure_shape(frontend(waveforms), shape)
    if examples.augmented_features is not None:
        features = tf.ensure_shape(examples.augmented_features(features, key), shape)
    return features


def with_length(dataset, steps):
    """The dataset with its length, and not shared out by files."""
    import tensorflow as tf

    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    options = tf.data.Options()
    by_data = tf.data.experimental.AutoShardPolicy.DATA  # there are no files to share
    options.experimental_distribute.auto_shard_policy = by_data
    return dataset.with_options(options)


def checked(error, arrays):
    """The arrays, once `error` is known to be empty; else it ends the epoch.

    An exception raised in a reader thread would arrive with pages of
    TensorFlow around it; an assertion arrives as one line.
    """
    import tensorflow as tf

    with tf.control_dependencies([tf.debugging.Assert(tf.equal(error, b""), [error])]):
        return [tf.identity(array) for array in arrays]


_program_ends, _unread = threading.Event(), []


@functools.cache
def _finish_reading_with_the_program():
    """At the end of the program no more clips are read, and `tf.data` comes to rest.

    A thread of `tf.data` that asks for Python after its end waits for ever, and the
    program with it: it would hang wherever an iterator is still referred to, after
    an error for example.
    """
    atexit.register(_come_to_rest)


def _come_to_rest(quiet_seconds=0.1):
    _program_ends.set()
    before = -1
    while before < len(_unread):  # until the buffers are full
        before = len(_unread)
        time.sleep(quiet_seconds)


class _TFCalls:
    """What `tf.data` calls back into Python for; errors are returned as texts."""

    def __init__(self, passes):
        _finish_reading_with_the_program()
        self.examples = passes.examples

    def path(self, index):
        """The path of a clip that may be opened; an empty one is left to Python."""
        clips = self.examples.reader.clips
        return clips.name(index).encode() if clips.may_open(index) else b""

    def example(self, index, key):
        if _program_ends.is_set():
            _unread.append(index)
            return self._empty("")
        try:
            return *self.examples.example(index, key), b""
        except (TooManyBrokenFiles, AudioError) as error:
            return self._empty(str(error))

    def _empty(self, error):
        empty = map(np.zeros, self.examples.shapes, self.examples.dtypes)
        return *empty, error.encode()
