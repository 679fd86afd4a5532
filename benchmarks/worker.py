"""A process of `benchmarks.step_worker`, as its parent sees it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMMAND = [sys.executable, "-m", "benchmarks.step_worker"]

# What keeps a framework off the GPU, and what makes it take memory as it needs it: JAX
# reserves three quarters of a GPU, of which it also makes its limit, TensorFlow all.
ENVIRONMENT = {
    "cpu": {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"},
    "gpu": {
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "XLA_PYTHON_CLIENT_MEM_FRACTION": "0.95",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    },
}


class WorkerFailed(Exception):
    """A worker could not do what it was asked; the text is one line that says why."""


class Worker:
    """A child process, asked through its pipes.

    Args:
        framework: `torch`, `torch-compiled`, `tensorflow` or `jax`.
        device: `cpu` or `gpu`.
        *options: Further words of the child's command line.
    """

    def __init__(self, framework, device, *options):
        self.framework = framework
        self.process = subprocess.Popen(
            [*COMMAND, framework, "--device", device, *map(str, options)],
            cwd=ROOT,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", **ENVIRONMENT[device]},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def answer(self):
        """The next line of the child, a dictionary."""
        line = self.process.stdout.readline()
        if not line:
            raise WorkerFailed(self._how_it_ended())
        facts = json.loads(line)
        if "failed" in facts:
            raise WorkerFailed(facts["failed"])
        return facts

    def ask(self, *words):
        """What the child answers to a request."""
        try:
            self.process.stdin.write(" ".join(map(str, words)) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise WorkerFailed(self._how_it_ended()) from None
        return self.answer()

    def _how_it_ended(self):
        status = self.process.wait()
        if status == -signal.SIGKILL:
            return "killed, as the system does where memory runs out"
        return f"ended with status {status}; its error is above"

    def stop(self):
        with contextlib.suppress(BrokenPipeError):  # it has ended
            self.process.stdin.close()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def probe(framework, device):
    """The name of the device that a framework computes on.

    Raises:
        WorkerFailed: Where the framework is not installed or sees no such device.
    """
    worker = Worker(framework, device, "--probe")
    try:
        return worker.answer()["device"]
    finally:
        worker.stop()
