"""Waiting for a batch is told from training on it."""

from types import SimpleNamespace

import keras
import pytest

from keras_asit.models import data_wait

IS_JAX = keras.backend.backend() == "jax"


def test_seconds_are_those_of_fetching(monkeypatch):
    """A batch takes half a second, a step a quarter, on a clock of our own."""
    seconds = [0.0]
    clock = SimpleNamespace(perf_counter=lambda: seconds[0])
    monkeypatch.setattr(data_wait, "time", clock)

    def batches():
        for batch in range(3):
            seconds[0] += 0.5
            yield batch

    def train(iterator):
        batch = next(iterator)
        seconds[0] += 0.25
        return batch

    wait = data_wait.DataWait()
    state = ("state",) if IS_JAX else ()
    step = wait.measured(lambda *arguments: train(arguments[-1]))
    iterator = batches()
    assert [step(*state, iterator) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(StopIteration):
        step(*state, iterator)
    assert wait.seconds == 1.5
    assert seconds == [2.25]
