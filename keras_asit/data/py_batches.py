"""Batches without TensorFlow: a `keras.utils.PyDataset` that reads ahead."""

import collections
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

from keras_asit.data.examples import BATCHES_AHEAD


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
        for ahead in range(started, min(step + 1 + BATCHES_AHEAD, self.steps)):
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
