"""Batches on TensorFlow: a `tf.data` pipeline that asks Python for the clips."""

import atexit
import functools
import threading
import time

import numpy as np

from keras_asit.audio import AudioError
from keras_asit.data import draws
from keras_asit.data.clips import TooManyBrokenFiles
from keras_asit.data.examples import BATCHES_AHEAD


def tf_batches(passes, frontend, workers):
    """The batches as `tf.data`; every new iterator is the next pass.

    Args:
        passes: A `Passes`.
        frontend: Layer that turns the waveforms into features, or None.
        workers: Clips that are read at once.
    """
    import tensorflow as tf

    examples, steps, batch_size = passes.examples, passes.steps, passes.batch_size
    calls = _TFCalls(passes)

    def rows_of_pass(_):
        rows = tf.numpy_function(calls.rows, [], tf.int64)
        return tf.data.Dataset.from_tensor_slices(tf.ensure_shape(rows, (None, 2)))

    def to_example(row):
        dtypes = [*examples.dtypes, tf.string]
        *arrays, error = tf.numpy_function(calls.example, [row[0], row[1]], dtypes)
        arrays = _checked(error, arrays)
        for array, shape in zip(arrays, examples.shapes):
            array.set_shape(shape)
        key = draws.key(examples.seed, row[0], row[1])
        arrays[0] = as_features(arrays[0], frontend, examples, key)
        return tuple(arrays)

    def report_after_last(step, arrays):
        error = tf.cond(
            tf.equal(step, steps - 1),
            lambda: tf.numpy_function(calls.report, [], tf.string),
            lambda: tf.constant(b""),
        )
        arrays = _checked(error, arrays)
        return tuple(arrays) if len(arrays) > 1 else arrays[0]

    dataset = tf.data.Dataset.from_tensors(0).flat_map(rows_of_pass)
    dataset = dataset.map(to_example, num_parallel_calls=workers, deterministic=True)
    dataset = dataset.batch(batch_size, drop_remainder=passes.all_are_full)
    dataset = dataset.enumerate().map(report_after_last)
    return with_length(dataset, steps)


def as_features(waveforms, frontend, examples, key):
    """Features of the waveforms `[..., S]` of a clip; the waveforms without a frontend.

    Args:
        waveforms: A tensor of known shape.
        frontend: A `LogMelFilterbank`, or None.
        examples: The `ClipExamples` that they belong to.
        key: The clip's, of `draws.key`.
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
    """The dataset, read ahead, with its length, and not shared out by files."""
    import tensorflow as tf

    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    options = tf.data.Options()
    by_data = tf.data.experimental.AutoShardPolicy.DATA  # there are no files to share
    options.experimental_distribute.auto_shard_policy = by_data
    return dataset.with_options(options).prefetch(BATCHES_AHEAD)


def _checked(error, arrays):
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
        self.passes, self.examples = passes, passes.examples

    def rows(self):
        """(epoch, clip number) of every clip of the next pass."""
        return self.passes.rows_from(self.passes.begin())

    def example(self, epoch, index):
        if _program_ends.is_set():
            _unread.append(index)
            return self._empty("")
        try:
            return *self.examples.example(int(epoch), int(index)), b""
        except (TooManyBrokenFiles, AudioError) as error:
            return self._empty(str(error))

    def _empty(self, error):
        empty = map(np.zeros, self.examples.shapes, self.examples.dtypes)
        return *empty, error.encode()

    def report(self):
        try:
            self.examples.reader.end_of_epoch()
        except TooManyBrokenFiles as error:
            return str(error).encode()
        return b""
