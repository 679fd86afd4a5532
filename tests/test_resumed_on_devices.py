"""Runs on several devices, or of several processes, go on to the bit."""

import os
import socket
import subprocess
import sys

import keras
import pytest

from drivers import resumed_on_devices

pytestmark = pytest.mark.large


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, resumed_on_devices.__file__, *map(str, arguments)],
        env={
            **{k: v for k, v in os.environ.items() if k != "TF_NUM_INTEROP_THREADS"},
            "KERAS_BACKEND": keras.backend.backend(),
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiles sooner
            "JAX_PLATFORMS": "cpu",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def outcome(*processes):
    for process in processes:
        output, _ = process.communicate()
        assert process.returncode == 0, output
        assert ": the same" in output


@pytest.mark.parametrize(
    ("backend", "kind"),
    [("tensorflow", "mirrored"), ("jax", "data"), ("jax", "model")],
)
def test_two_devices(tmp_path, backend, kind):
    if keras.backend.backend() != backend:
        pytest.skip(f"is for {backend}")
    outcome(start(kind, tmp_path))


@pytest.mark.skipif(
    keras.backend.backend() != "jax",
    reason="Keras 3.15 does not train under a MultiWorkerMirroredStrategy",
)
@pytest.mark.parametrize("kind", ["data", "model"])
def test_two_processes(tmp_path, kind):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    outcome(*[start(kind, tmp_path, port, number) for number in range(2)])
