"""Batches without TensorFlow: a `keras.utils.PyDataset` that reads ahead."""

import collections
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np

from keras_asit import distribution
from keras_asit.data.examples import BATCHES_AHEAD


class PyBatches(keras.utils.PyDataset):
    """The batches without TensorFlow; a pass in which each was asked for is an epoch.

    The n-th one asked for in a pass is the n-th batch, whatever its index: `fit`
    shuffles the indices by a global generator unless it is told not to, and the
    order is the seed's already.

    It reads ahead by itself, and leaves Keras' own workers unused: those run
    past the batch that `fit` looks at to build a model, and an epoch would
    then begin anywhere.

    Where several processes train on JAX, each gets its part of every batch.

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
        self._pass, self._asked = _Pass(self), set()  # and its indices

    def __len__(self):
        return self.steps

    @property
    def num_batches(self):
        """The number of batches; where it is read, an unfinished pass begins anew.

        Keras reads it before every pass and after a look at a batch, and does not
        where a pass goes on in the next `steps_per_epoch`.
        """
        if not self._pass.is_taken:
            self._begin()
        return self.steps

    @property
    def epoch(self):
        """Number of the epoch that the pass began in."""
        return self._pass.first // self.steps

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
        self._begin()

    def __getitem__(self, index):
        if not 0 <= index < self.steps:
            raise IndexError(f"Expected a batch below {self.steps}. Received: {index}")
        if index in self._asked:  # never twice in a pass
            self._begin()
        self._asked.add(index)
        return self._pass.next_batch()

    def __iter__(self):
        """A pass of its own, whatever else is asked for meanwhile."""
        own = _Pass(self)
        try:
            while not own.is_taken:
                batch = own.next_batch()
                if own.is_taken:
                    own.end()
                yield batch
        finally:
            own.forget_ahead()
            if self._pass.batches == 0:  # it would begin where this one did
                self._begin()

    def on_epoch_end(self):
        if self._pass.is_taken:
            try:
                self._pass.end()
            finally:
                self._begin()

    def _begin(self):
        self._pass.forget_ahead()
        self._pass, self._asked = _Pass(self), set()

    def start(self, batch):
        """Starts to read a batch: its rows, and a future of each of its clips."""
        rows = _of_process(self.passes.rows(batch))
        return rows, [self._pool.submit(self.examples.example, *row) for row in rows]

    def finish(self, rows, started):
        """The arrays of a batch that was started."""
        arrays = [np.stack(column) for column in zip(*(s.result() for s in started))]
        if self._features is not None:
            arrays[0] = self._features(arrays[0])
        augmented = self.examples.augmented_features
        if augmented is not None:
            keys = rows[:, 1:].view("uint64")
            arrays[0] = np.stack(list(map(augmented, arrays[0], keys)))
        return tuple(arrays) if len(arrays) > 1 else arrays[0]


class _Pass:
    """The batches of a pass, one after the other, read ahead.

    Args:
        dataset: The `PyBatches`.
    """

    def __init__(self, dataset):
        self.dataset = dataset
        self.number, self.first = dataset.passes.begin()
        self.batches = 0  # that were taken
        self._ahead = collections.deque()

    @property
    def is_taken(self):
        """Whether every batch was asked for."""
        return self.batches == self.dataset.steps

    def next_batch(self):
        started = self.batches + len(self._ahead)
        self.batches += 1
        for ahead in range(
            started, min(self.batches + BATCHES_AHEAD, self.dataset.steps)
        ):
            self._ahead.append(self.dataset.start(self.first + ahead))
        return self.dataset.finish(*self._ahead.popleft())

    def end(self):
        self.dataset.passes.end(self.number)

    def forget_ahead(self):
        for clip in [clip for _, clips in self._ahead for clip in clips]:
            clip.cancel()
        self._ahead.clear()


def _of_process(rows):
    """The clips of a batch that this process feeds to its devices."""
    part, parts = distribution.share_of_process()
    if len(rows) % parts:
        raise ValueError(
            f"Expected batches that {parts} processes can share. Received: one of "
            f"{len(rows)} clips. Choose a multiple of {parts} as batch_size, and leave "
            "a smaller last batch out (drop_remainder=True)"
        )
    size = len(rows) // parts
    return rows[part * size : (part + 1) * size]


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
