"""Batches without TensorFlow: a `keras.utils.PyDataset` that reads ahead."""

import collections
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

from keras_asit.data import draws
from keras_asit.data.examples import BATCHES_AHEAD


class PyBatches(keras.utils.PyDataset):
    """The batches without TensorFlow; a pass in which each was asked for is an epoch.

    The n-th one asked for in a pass is the n-th batch, whatever its index: `fit`
    shuffles the indices by a global generator unless it is told not to, and the
    order is the seed's already.

    It reads ahead by itself, and leaves Keras' own workers unused: those run
    past the batch that `fit` looks at to build a model, and an epoch would
    then begin anywhere.

    Args:
        passes: A `Passes`.
        frontend: Layer that turns the waveforms into features, or None.
        workers: Threads that read.
    """

    def __init__(self, passes, frontend, workers):
        super().__init__(workers=1)
        self.passes = passes
        self.examples, self.steps = passes.examples, passes.steps
        self.frontend = frontend
        self._features = _compiled(frontend)
        self._pool = ThreadPoolExecutor(max(1, workers))
        self._first = passes.begin()
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
            self._begin_again()
        return self.steps

    @property
    def epoch(self):
        """Number of the epoch that the pass began in."""
        return self._first // self.steps

    def peek(self, count):
        """A batch of the inputs of the first `count` clips, again and again."""
        waves = [arrays[0] for arrays in self.passes.first_examples(count)]
        size = self.passes.batch_size  # no other size is compiled
        waves = np.stack([waves[i % len(waves)] for i in range(size)])
        return waves if self._features is None else self._features(waves)

    def state(self, batches):
        """The position after so many batches, to be saved. See `Passes.state`."""
        return self.passes.state(batches)

    def restore(self, state):
        """Let the next pass begin at a position. See `Passes.restore`."""
        self.passes.restore(state)
        self._begin_next()

    def __getitem__(self, index):
        if not 0 <= index < self.steps:
            raise IndexError(f"Expected a batch below {self.steps}. Received: {index}")
        if index in self._asked:  # never twice in a pass
            self._begin_again()
        step = len(self._asked)
        self._asked.add(index)
        started = step + len(self._ahead)
        for ahead in range(started, min(step + 1 + BATCHES_AHEAD, self.steps)):
            self._ahead.append(self._start(self._first + ahead))
        return self._batch(*self._ahead.popleft())

    def __iter__(self):
        yield from super().__iter__()
        self.on_epoch_end()

    def on_epoch_end(self):
        if len(self._asked) == self.steps:
            self._begin_next()
            self.examples.reader.end_of_epoch()

    def _begin_next(self):
        self._first = self.passes.begin()
        self._begin_again()

    def _begin_again(self):
        for clip in [clip for _, clips in self._ahead for clip in clips]:
            clip.cancel()
        self._ahead.clear()
        self._asked.clear()

    def _start(self, batch):
        epoch, clips = self.passes.rows(batch)
        rows = [(epoch, int(clip)) for clip in clips]
        return rows, [self._pool.submit(self.examples.example, *row) for row in rows]

    def _batch(self, rows, started):
        arrays = [np.stack(column) for column in zip(*(s.result() for s in started))]
        if self._features is not None:
            arrays[0] = self._features(arrays[0])
        augmented = self.examples.augmented_features
        if augmented is not None:
            keys = [draws.key(self.examples.seed, *row) for row in rows]
            arrays[0] = np.stack(list(map(augmented, arrays[0], keys)))
        return tuple(arrays) if len(arrays) > 1 else arrays[0]


def _compiled(frontend):
    """A function from waveforms `[B, ..., S]` to features in numpy, or None."""
    if frontend is None:
        return None
    call, on_cpu = frontend, False
    if keras.backend.backend() == "jax":
        import jax

        call = jax.jit(lambda waves: frontend(waves))
        on_cpu = jax.default_backend() == "cpu"

    def features(waves):
        flat = waves.reshape(-1, waves.shape[-1])
        output = keras.ops.convert_to_numpy(call(flat))
        return output.reshape(waves.shape[:-1] + output.shape[-2:])

    if on_cpu:  # a clip fits into its caches, a batch does not: twice as fast
        return lambda waves: np.stack([features(clip) for clip in waves])
    return features
