"""Runs on several devices, or of several processes, go on to the bit."""

import json
import os
import socket
import subprocess
import sys

import keras
import pytest

from drivers import resumed_on_devices, terminated_process
from keras_asit import checkpoints

pytestmark = pytest.mark.large


def start(driver, *arguments, cluster=None):
    """A process; `cluster` is the addresses of TensorFlow's workers and its number."""
    config = {}
    if cluster:
        addresses, number = cluster
        task = {"type": "worker", "index": number}
        config["TF_CONFIG"] = json.dumps(
            {"cluster": {"worker": addresses}, "task": task}
        )
    return subprocess.Popen(
        [sys.executable, driver.__file__, *map(str, arguments)],
        env={
            **{k: v for k, v in os.environ.items() if k != "TF_NUM_INTEROP_THREADS"},
            "KERAS_BACKEND": keras.backend.backend(),
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiles sooner
            "JAX_PLATFORMS": "cpu",
            **config,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def outputs(*processes):
    """What they printed, once all have ended well."""
    for process in processes:
        output, _ = process.communicate()
        assert process.returncode == 0, output
        yield output


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


needs_processes = pytest.mark.skipif(
    keras.backend.backend() != "jax",
    reason="of TensorFlow test_two_workers shows it",
)


@pytest.mark.parametrize(
    ("backend", "kind"),
    [("tensorflow", "mirrored"), ("jax", "data"), ("jax", "model")],
)
def test_two_devices(tmp_path, backend, kind):
    if keras.backend.backend() != backend:
        pytest.skip(f"is for {backend}")
    [output] = outputs(start(resumed_on_devices, kind, tmp_path))
    assert ": the same" in output


@needs_processes
@pytest.mark.parametrize("kind", ["data", "model"])
def test_two_processes(tmp_path, kind):
    driver, port = resumed_on_devices, free_port()
    both = [start(driver, kind, tmp_path, port, number) for number in range(2)]
    assert all(": the same" in output for output in outputs(*both))


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="other backends have no workers"
)
def test_two_workers(tmp_path):
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    both = [
        start(
            resumed_on_devices, "workers", tmp_path, "port", number,
            cluster=(addresses, number),
        )
        for number in range(2)
    ]  # fmt: skip
    assert all(": the same" in output for output in outputs(*both))


@needs_processes
def test_processes_end_together(tmp_path):
    driver, port = terminated_process, free_port()
    both = [start(driver, tmp_path, port, number) for number in range(2)]
    assert len(list(outputs(*both))) == 2
    assert checkpoints.read_newest(tmp_path)[1]["step"] == 10
