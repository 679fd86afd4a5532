"""One framework's training steps, on demand: the child of `benchmarks.train_step`.

    python -m benchmarks.step_worker tensorflow --network toy --batch 2

It builds the model, takes the first step, says so in a line of JSON on its
standard output, and then waits for lines on its standard input: `steps 3` runs
and times three steps, `matmul 3072 1` measures the framework's matrix rate in the
dtype of the step by products of that side, timed one by one, `prepare 3` times three
calls of what comes before the networks, filterbank and corruption (Keras only).
Anything else ends it. What it cannot do it answers with `failed` and the reason.

The clock stops when the loss of the last step has arrived as a Python number.
"""

import argparse
import json
import os
import sys
import time
import traceback
from dataclasses import replace

import numpy as np

from benchmarks import machine
from benchmarks.networks import NETWORKS, VIEWS

FRAMEWORKS = ("torch", "torch-compiled", "tensorflow", "jax")
DTYPES = ("bfloat16", "float32")


class Conversation:
    """Requests from the parent, answers to it, and the clock."""

    def __init__(self):
        # Answers have the pipe to themselves; what libraries print goes to stderr.
        self.answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        self.start()

    def start(self):
        self.began = time.perf_counter(), time.process_time()

    def answer(self, loss, memory_gb):
        """What the steps since `start` took.

        Args:
            loss: A number: the clock stops where it is read.
            memory_gb: Peak of the device's memory; None for that of the process.
        """
        loss = float(loss)
        wall, cpu = time.perf_counter(), time.process_time()
        rss_gb = machine.peak_rss_gb()
        self.say(
            {
                "seconds": wall - self.began[0],
                "cpu_seconds": cpu - self.began[1],
                "loss": loss,
                "rss_gb": rss_gb,
                "memory_gb": rss_gb if memory_gb is None else memory_gb,
            }
        )

    def say(self, facts):
        self.answers.write(json.dumps(facts) + "\n")
        self.answers.flush()

    def next_steps(self, requests):
        """Number of steps asked for next; 0 for none.

        Args:
            requests: Functions of whole numbers, by the name of a request that
                is answered before; they return a dictionary.
        """
        words = sys.stdin.readline().split()
        while words and words[0] in requests:
            try:
                self.say(requests[words[0]](*map(int, words[1:])))
            except Exception as error:
                self.say({"failed": reason(error)})
            words = sys.stdin.readline().split()
        steps = int(words[1]) if words[:1] == ["steps"] else 0
        self.start()
        return steps


def reason(error):
    """An exception in one line."""
    traceback.print_exception(error)
    lines = str(error).strip().splitlines() or ["no reason given"]
    name = type(error).__name__
    signs = (
        "out of memory",
        "out_of_memory",
        "resource_exhausted",
        "resourceexhausted",
    )
    found = f"{name} {error}".lower()
    if isinstance(error, MemoryError) or any(sign in found for sign in signs):
        return f"out of memory ({name}: {lines[0][:200]})"
    return f"{name}: {lines[0][:200]}"


def run_torch(network, views, options, conversation):
    """Steps of the plain PyTorch peer."""
    import torch

    from benchmarks.torch_asit import Pretraining

    device = torch.device("cuda" if options.device == "gpu" else "cpu")
    dtype = getattr(torch, options.dtype)
    if options.device == "gpu":
        # As JAX and TensorFlow do unasked: float32 products in TF32.
        torch.set_float32_matmul_precision("high")

    def product(matrix):
        matrix = torch.from_numpy(matrix).to(device, dtype)

        def multiply(times):
            for _ in range(times):
                result = matrix @ matrix
            return float(result[0, 0])

        return multiply

    def memory_gb():
        if options.device == "cpu":
            return None
        return torch.cuda.max_memory_allocated() / 1e9

    torch.manual_seed(0)
    pretraining = Pretraining(
        network,
        device=device,
        half=None if dtype == torch.float32 else dtype,
        compiled=options.framework == "torch-compiled",
    )
    views = torch.from_numpy(views)
    views = views.pin_memory() if options.device == "gpu" else views
    requests = {"matmul": machine.rate_of(product)}
    conversation.start()
    steps = 1
    while steps:
        for _ in range(steps):
            # Fed at every step, as `fit` does; from pinned memory, without waiting.
            loss = pretraining.step(views.to(device, non_blocking=True))
        loss = float(loss)
        conversation.answer(loss, memory_gb())
        steps = conversation.next_steps(requests)


def device_name(framework, device):
    """The device that a framework computes on; raises where there is no such one."""
    if framework.startswith("torch"):
        import torch

        found = torch.cuda.is_available() and torch.cuda.get_device_name()
    elif framework == "jax":
        import jax

        kinds = [d.device_kind for d in jax.devices() if d.platform == "gpu"]
        found = kinds and kinds[0]
    else:
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        found = gpus and tf.config.experimental.get_device_details(gpus[0]).get(
            "device_name", "GPU"
        )
    if device == "gpu" and not found:
        raise RuntimeError(f"{framework.partition('-')[0]} sees no GPU")
    return found if device == "gpu" else machine.cpu_model()


def parser():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("framework", choices=FRAMEWORKS)
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--network", choices=NETWORKS, default="small")
    parser.add_argument("--frames", type=int, help="of a view; the network's")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument(
        "--probe", action="store_true", help="only say the device's name"
    )
    return parser


def work(options, conversation):
    if options.framework in ("tensorflow", "jax"):
        os.environ["KERAS_BACKEND"] = options.framework
    name = device_name(options.framework, options.device)
    if options.probe:
        conversation.say({"device": name})
        return
    network = NETWORKS[options.network]
    network = replace(network, frames=options.frames or network.frames)
    shape = (options.batch, VIEWS, network.frames, network.mel_bins)
    views = np.random.default_rng(0).standard_normal(shape, "float32") * 0.5
    if options.framework.startswith("torch"):
        run_torch(network, views, options, conversation)
    else:
        from benchmarks.keras_step import run_keras

        run_keras(network, views, options, conversation)


def main():
    options, conversation = parser().parse_args(), Conversation()
    try:
        work(options, conversation)
    except Exception as error:
        conversation.say({"failed": reason(error)})
        sys.exit(1)


if __name__ == "__main__":
    main()
