"""Two devices train as one: the same losses, centres, teacher and student.

TensorFlow's `MirroredStrategy` and JAX's `DataParallel` on two logical CPU devices,
against one device with the same global batch and the same masks. The two halves of
the batch have masks of very different size, so that a mean of the replicas' means
would be wrong.
"""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from drivers import two_devices

TESTS = Path(__file__).resolve().parent


def start(devices, file):
    """Runs the driver in a process of its own."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count="
    return subprocess.Popen(
        [sys.executable, str(TESTS / "drivers" / "two_devices.py"), devices, str(file)],
        env={
            **os.environ,
            "KERAS_BACKEND": keras.backend.backend(),
            "XLA_FLAGS": flags + ("2" if devices == "two" else "1"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The records of one device and of two."""
    if keras.backend.backend() not in ("tensorflow", "jax"):
        pytest.skip("data-parallel training is for TensorFlow and JAX")
    folder = tmp_path_factory.mktemp("devices")
    files = {devices: folder / f"{devices}.npz" for devices in ("one", "two")}
    processes = {devices: start(devices, file) for devices, file in files.items()}
    for process in processes.values():
        output, _ = process.communicate()
        assert process.returncode == 0, output
    return {devices: dict(np.load(file)) for devices, file in files.items()}


def test_the_halves_of_the_batch_are_unequal():
    for batch in two_devices.views():
        changed = (batch > 0.3).mean(axis=(1, 2, 3))
        half = two_devices.CLIPS // 2
        assert changed[half:].mean() > 1.5 * changed[:half].mean()


@pytest.mark.parametrize("step", range(two_devices.STEPS))
@pytest.mark.parametrize("part", ["reconstruction_", "local_", "global_", ""])
def test_losses_are_those_of_one_device(runs, part, step):
    one, two = (runs[devices][f"{part}loss_{step}"] for devices in ("one", "two"))
    np.testing.assert_allclose(two, one, rtol=1e-5)


@pytest.mark.parametrize("owner", ["center", "teacher", "student", "steps_done"])
def test_weights_are_those_of_one_device(runs, owner):
    one, two = runs["one"], runs["two"]
    assert one["paths"].tolist() == two["paths"].tolist()
    checked = 0
    for i, path in enumerate(one["paths"]):
        is_student = "teacher" not in path and "/" in path
        if owner in path or (owner == "student" and is_student):
            np.testing.assert_allclose(
                two[f"weight_{i}"][0], one[f"weight_{i}"][0], atol=2e-5, err_msg=path
            )
            checked += 1
    assert checked


def test_devices_hold_the_same_weights(runs):
    two = runs["two"]
    for i, path in enumerate(two["paths"]):
        first, second = two[f"weight_{i}"]
        np.testing.assert_array_equal(first, second, err_msg=path)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only tf.distribute has replicas"
)
def test_replicas_draw_different_corruption(runs):
    masks, plain = runs["two"]["masks"], runs["two"]["plain"]
    assert set(np.unique(masks)) == {0.0, 1.0}
    for first, second in zip(masks[0], masks[1], strict=True):
        assert (first != second).mean() > 0.05
    # Keras' own generator gives every replica the same numbers.
    np.testing.assert_array_equal(plain[0], plain[1])
