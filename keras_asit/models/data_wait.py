"""How long training waits for its data."""

import itertools
import time

import keras


class DataWait:
    """Counts the seconds in which `fit` asks for a batch and has none yet.

    Keras fetches a batch and trains on it in one function; here the two are told apart.
    On TensorFlow the batch is then fetched outside of the graph, which costs nothing
    that can be measured.
    """

    def __init__(self):
        self.seconds = 0.0

    def measured(self, train_function):
        """The `train_function` of a `keras.Model`, whose fetching is counted."""

        def on_tensorflow(iterator):
            batches = self._counted(iterator)
            first = next(batches)  # else what is at its end is no StopIteration
            return train_function(itertools.chain([first], batches))

        def on_jax(state, iterator):
            return train_function(state, self._counted(iterator))

        return on_jax if keras.backend.backend() == "jax" else on_tensorflow

    def _counted(self, iterator):
        while True:
            began = time.perf_counter()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            self.seconds += time.perf_counter() - began
            yield batch
