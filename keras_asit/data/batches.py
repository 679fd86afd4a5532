"""From clips, one at a time, to batches that `fit` takes on every backend.

`tf.data` on the TensorFlow backend, a `keras.utils.PyDataset` on the others.
Both ask the same `ClipExamples` for the same clips with the same random
numbers, so that a seed gives the same batches everywhere.
"""

import atexit
import collections
import functools
import operator
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

from keras_asit.audio import AudioError, LogMelFilterbank
from keras_asit.audio.filterbank import AUDIOSET_MEAN, AUDIOSET_STD
from keras_asit.data.clips import TooManyBrokenFiles

PATCH_FRAMES = 16  # frames of a patch, in the paper
_BATCHES_AHEAD = 2


class ClipExamples:
    """What a dataset draws from: clips by (epoch, number), as numpy arrays.

    Subclasses define `read(epoch, index, rng)`, which returns a tuple whose
    first array is a waveform `[..., S]`.

    Args:
        reader: A `ClipReader`.
        indices: Numbers of the clips to draw.
        shuffle: Whether every epoch has another order.
        seed: Integer that fixes orders, shifts and crops.
        shapes: Shapes of the arrays of an example.
        dtypes: Their dtypes.
    """

    def __init__(self, reader, indices, shuffle, seed, shapes, dtypes):
        self.reader = reader
        self.indices = np.asarray(indices, "int64")
        self.shuffle = shuffle
        self.seed = seed
        self.shapes, self.dtypes = shapes, dtypes

    def order(self, epoch):
        """Numbers of the clips of an epoch, in order."""
        if not self.shuffle:
            return self.indices
        return np.random.default_rng((self.seed, epoch)).permutation(self.indices)

    def example(self, epoch, index):
        """The arrays of one clip: the same ones whoever asks, and when."""
        rng = np.random.default_rng((self.seed, epoch, index))
        arrays = self.read(epoch, index, rng)
        return tuple(
            np.asarray(array, dtype) for array, dtype in zip(arrays, self.dtypes)
        )

    def read(self, epoch, index, rng):
        raise NotImplementedError


def make_batches(examples, batch_size, frontend, drop_remainder, workers):
    """Batches of `examples` for the backend in use.

    Args:
        examples: A `ClipExamples`.
        batch_size: Clips in a batch (over all replicas).
        frontend: Layer that turns the waveforms into features, or None.
        drop_remainder: Whether the last clips that fill no batch are left out.
        workers: Threads that read.

    Returns:
        A `tf.data.Dataset` or a `keras.utils.PyDataset` of arrays, or of
        tuples where examples have more than one array. It has a length.
    """
    clips = len(examples.indices)
    full, rest = divmod(clips, max(1, batch_size))
    steps = full if drop_remainder or not rest else full + 1
    if batch_size < 1 or steps < 1:
        raise ValueError(
            f"Expected a batch_size from 1 to the {clips} clips there are. "
            f"Received: {batch_size}. Use smaller batches, or drop_remainder=False"
        )
    if keras.backend.backend() == "tensorflow":
        return _tf_batches(examples, batch_size, steps, frontend, workers)
    return PyBatches(examples, batch_size, steps, frontend, workers)


def checked_seed(seed):
    """The seed as an integer; None draws one, as it does in Keras' layers.

    Raises:
        ValueError: for a negative seed, or one that is no integer.
    """
    if seed is None:
        return random.randrange(2**32)  # follows keras.utils.set_random_seed
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise ValueError(
            f"Expected a seed that is an integer of 0 or more. Received: {seed!r}. "
            "None draws a seed"
        )
    return number


def feature_layer(features, frontend, sample_rate, samples):
    """The layer that a dataset ends with: None for `features="waveform"`.

    Without a `frontend` the filterbank is normalised as that of a backbone is by
    default, and has as many frames as the clip gives, cut to whole patches: 6 s
    at 32 kHz give 598, of which 592 are kept.

    Raises:
        ValueError: for an unknown kind of features, or when the frontend
            belongs to another sample rate.
    """
    if features not in ("fbank", "waveform"):
        raise ValueError(
            f'Expected features "fbank" or "waveform". Received: {features!r}'
        )
    rate = getattr(frontend, "sample_rate", sample_rate)
    if rate != sample_rate:
        raise ValueError(
            f"Expected sample_rate={rate}, the frontend's. Received: {sample_rate}. "
            "Features of another rate are another input: pass the same rate to both"
        )
    if features == "waveform":
        return None
    if frontend is not None:
        return frontend
    frames = LogMelFilterbank(sample_rate).frames(samples)
    whole = max(1, frames // PATCH_FRAMES) * PATCH_FRAMES
    return LogMelFilterbank(
        sample_rate, num_frames=whole, mean=AUDIOSET_MEAN, std=AUDIOSET_STD
    )


def _tf_batches(examples, batch_size, steps, frontend, workers):
    """The batches as `tf.data`; every new iterator is the next epoch."""
    import tensorflow as tf

    calls = _TFCalls(examples, steps, batch_size)

    def rows_of_epoch(_):
        rows = tf.numpy_function(calls.rows, [], tf.int64)
        return tf.data.Dataset.from_tensor_slices(tf.ensure_shape(rows, (None, 2)))

    def to_example(row):
        dtypes = [*examples.dtypes, tf.string]
        *arrays, error = tf.numpy_function(calls.example, [row[0], row[1]], dtypes)
        arrays = _checked(error, arrays)
        for array, shape in zip(arrays, examples.shapes):
            array.set_shape(shape)
        if frontend is not None:
            shape = frontend.compute_output_shape(examples.shapes[0])
            arrays[0] = tf.ensure_shape(frontend(arrays[0]), shape)
        return tuple(arrays)

    def report_after_last(step, arrays):
        error = tf.cond(
            tf.equal(step, steps - 1),
            lambda: tf.numpy_function(calls.report, [], tf.string),
            lambda: tf.constant(b""),
        )
        arrays = _checked(error, arrays)
        return tuple(arrays) if len(arrays) > 1 else arrays[0]

    only_full = steps * batch_size <= len(examples.indices)  # gives a static batch
    dataset = tf.data.Dataset.from_tensors(0).flat_map(rows_of_epoch)
    dataset = dataset.map(to_example, num_parallel_calls=workers, deterministic=True)
    dataset = dataset.batch(batch_size, drop_remainder=only_full)
    dataset = dataset.enumerate().map(report_after_last)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(steps))
    options = tf.data.Options()
    by_data = tf.data.experimental.AutoShardPolicy.DATA  # there are no files to share
    options.experimental_distribute.auto_shard_policy = by_data
    return dataset.with_options(options).prefetch(_BATCHES_AHEAD)


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

    def __init__(self, examples, steps, batch_size):
        _finish_reading_with_the_program()
        self.examples = examples
        self.clips = steps * batch_size
        self._epoch, self._lock = 0, threading.Lock()

    def rows(self):
        """(epoch, clip number) of every clip of the next epoch."""
        with self._lock:
            epoch, self._epoch = self._epoch, self._epoch + 1
        order = self.examples.order(epoch)[: self.clips]
        return np.stack([np.full_like(order, epoch), order], axis=-1)

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


class PyBatches(keras.utils.PyDataset):
    """The batches without TensorFlow; a pass in which each was asked for is an epoch.

    The n-th one asked for in a pass is the n-th batch, whatever its index: `fit`
    shuffles the indices by a global generator unless it is told not to, and the
    order is the seed's already.

    It reads ahead by itself, and leaves Keras' own workers unused: those run
    past the batch that `fit` looks at to build a model, and an epoch would
    then begin anywhere.
    """

    def __init__(self, examples, batch_size, steps, frontend, workers):
        super().__init__(workers=1)
        self.examples = examples
        self.batch_size = batch_size
        self.steps = steps
        self.frontend = frontend
        self.epoch = 0
        self._features = _compiled(frontend)
        self._pool = ThreadPoolExecutor(max(1, workers))
        self._order = examples.order(0)
        self._asked = set()  # indices, in this pass
        self._ahead = collections.deque()  # the batches that come next

    def __len__(self):
        return self.steps

    @property
    def num_batches(self):
        """The number of batches; where it is read, an unfinished pass begins anew.

        Keras reads it before every pass and after a look at a batch, and does not
        where a pass goes on in the next `steps_per_epoch`.
        """
        if len(self._asked) < self.steps:
            self._begin_pass()
        return self.steps

    def __getitem__(self, index):
        if not 0 <= index < self.steps:
            raise IndexError(f"Expected a batch below {self.steps}. Received: {index}")
        if index in self._asked:  # never twice in a pass
            self._begin_pass()
        step = len(self._asked)
        self._asked.add(index)
        started = step + len(self._ahead)
        for ahead in range(started, min(step + 1 + _BATCHES_AHEAD, self.steps)):
            self._ahead.append(self._start(ahead))
        examples = [clip.result() for clip in self._ahead.popleft()]
        arrays = [np.stack(column) for column in zip(*examples)]
        if self._features is not None:
            arrays[0] = self._features(arrays[0])
        return tuple(arrays) if len(arrays) > 1 else arrays[0]

    def __iter__(self):
        yield from super().__iter__()
        self.on_epoch_end()

    def on_epoch_end(self):
        if len(self._asked) == self.steps:
            self.epoch += 1
            self._order = self.examples.order(self.epoch)
            self._begin_pass()
            self.examples.reader.end_of_epoch()

    def _begin_pass(self):
        for clip in [clip for batch in self._ahead for clip in batch]:
            clip.cancel()
        self._ahead.clear()
        self._asked.clear()

    def _start(self, step):
        rows = self._order[step * self.batch_size : (step + 1) * self.batch_size]
        read = self.examples.example
        return [self._pool.submit(read, self.epoch, int(row)) for row in rows]


def _compiled(frontend):
    """A function from waveforms `[B, ..., S]` to features in numpy, or None."""
    if frontend is None:
        return None
    call = frontend
    if keras.backend.backend() == "jax":
        import jax

        call = jax.jit(lambda waves: frontend(waves))

    def features(waves):
        flat = waves.reshape(-1, waves.shape[-1])
        output = keras.ops.convert_to_numpy(call(flat))
        return output.reshape(waves.shape[:-1] + output.shape[-2:])

    return features
