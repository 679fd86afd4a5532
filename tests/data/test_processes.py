"""Two processes share every batch of a dataset, and see what one would see."""

import json

import keras
import numpy as np
import pytest

from drivers import data_of_processes as driver
from drivers import many_devices
from keras_asit.data import synthetic

pytestmark = pytest.mark.large
KIND = {"tensorflow": "workers", "jax": "data_parallel"}.get(keras.backend.backend())


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each of two processes found, and one process alone.

    An epoch has more batches than Keras' look at the first one reads ahead, which
    else ends the epoch (see docs/data.md).
    """
    if KIND is None:
        pytest.skip("several processes train on TensorFlow and JAX")
    folder = tmp_path_factory.mktemp("processes")
    manifest = synthetic.write_dataset(
        folder / "clips", splits={"train": 3}, seconds=0.25, sample_rate=8000
    )
    for kind, processes in (("one", 1), (KIND, 2)):
        started = many_devices.start(
            driver.__file__,
            kind,
            manifest,
            folder / kind,
            backend=keras.backend.backend(),
            processes=processes,
        )
        many_devices.finish(started)
    names = ("one-0", f"{KIND}-0", f"{KIND}-1")
    return [json.loads((folder / f"{name}.json").read_text()) for name in names]


def test_each_gets_its_part_of_every_batch(found):
    one, first, second = (each["means"] for each in found)
    assert len(one) == driver.EPOCHS * (36 // driver.BATCH)
    together = [[*a, *b] for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(together, one, atol=1e-6)


def test_logs_are_those_of_one_process(found):
    one, first, second = (each["logs"] for each in found)
    assert first == second
    assert {"loss", "accuracy", "test_loss", "test_accuracy"} <= set(one)
    for name, values in one.items():
        np.testing.assert_allclose(first[name], values, rtol=1e-4, err_msg=name)
