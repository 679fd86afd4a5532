"""Two devices train on the batches that the dataset has, and count each clip once."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from drivers import data_on_two_devices as driver
from keras_asit.data import labelled_dataset

CLIPS = 14


@pytest.fixture
def results(write_manifest, tmp_path):
    """What became of them on two devices, and the manifest."""
    if keras.backend.backend() not in ("tensorflow", "jax"):
        pytest.skip("data-parallel training is for TensorFlow and JAX")
    manifest, out = write_manifest(CLIPS), tmp_path / "two.json"
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count="
    done = subprocess.run(
        [sys.executable, driver.__file__, str(manifest), str(out)],
        env={
            **{k: v for k, v in os.environ.items() if k != "TF_NUM_INTEROP_THREADS"},
            "KERAS_BACKEND": keras.backend.backend(),
            "XLA_FLAGS": flags + "2",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return manifest, json.loads(out.read_text())


def test_batches_and_clips_are_those_of_one_device(results):
    manifest, two = results
    dataset = labelled_dataset(manifest, driver.BATCH, training=True, **driver.OPTIONS)
    one = [driver.value(np.asarray(x)) for _ in range(2) for x, _ in dataset]
    assert len(one) == CLIPS
    np.testing.assert_allclose(two["from_the_start"], one, atol=1e-6)
    expected = one[driver.PASSED : driver.PASSED + CLIPS // 2]
    np.testing.assert_allclose(two["restored"], expected, atol=1e-6)
    # The last of three batches of 6 has 2 clips, and 4 of weight 0.
    assert two["slots"] == [6, 6, 6]
    [(waves, _)] = labelled_dataset(manifest, CLIPS, **driver.OPTIONS)
    assert abs(two["evaluated"] - driver.value(np.asarray(waves))) < 1e-6
