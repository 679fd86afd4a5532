"""Speed of the pretraining step: keras_asit on TensorFlow and on JAX, and PyTorch.

    python -m benchmarks.train_step
    python -m benchmarks.train_step --size base --batch 2 --out build/train_step.json
    python -m benchmarks.train_step --device gpu --out build/train_step_gpu.json
    python -m benchmarks.train_step --batch 1 2 4 8 --seconds 1.5 3 6 10

The step is that of `ASiTPretrainer` with the `reference` profile: two views a clip, of
(592, 128) for 6 s, AdamW with each variable's gradient clipped, stochastic depth 0.1,
inside `fit` (see `benchmarks.keras_step`). PyTorch's is the same network written in
`benchmarks.torch_asit`, eager or under `torch.compile`. In bfloat16 Keras has the dtype
policy `mixed_bfloat16` and PyTorch autocast. On a GPU float32 is what JAX makes of it:
products in TF32, in PyTorch too.

On a CPU every framework has a process of its own, started once a case. They take
turns, a few steps each, while the others wait, so that a busy minute of the machine
meets all of them: only the ratios within a round mean anything, and their median is
shown. Even so, run it on a machine that does nothing else: PyTorch's threads wait for
each other in a busy loop and lose more than the others where processors are short.

On a GPU they do not fit beside each other: each runs all its rounds alone. Without
`--batch` batches are doubled from 16 until every framework has run out of memory. One
that could not do a batch has no figures there and is not asked for larger ones.

The matrix rate is that of a large product in the step's dtype on all processors or on
the GPU. Every framework measures its own in every round, and the highest of a round
counts (the libraries differ twofold on some processors). The share of it is the step's
arithmetic (`step_flops`) over its time and that rate. The share of filterbank and
corruption is the time of both together for waveforms of such a batch, compiled by
themselves, over the step's.
"""

import argparse
import itertools
import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks import machine
from benchmarks.networks import NETWORKS, frames_of, step_flops
from benchmarks.step_report import heading, summary, tables
from benchmarks.step_worker import DTYPES, FRAMEWORKS
from benchmarks.turns import Readings, start, stop, take_turns
from benchmarks.worker import WorkerFailed, probe

# Side of the products that give the matrix rate, and how many between looks at the
# clock: one is over too soon on a GPU.
MATRIX = {"cpu": (3072, 1), "gpu": (8192, 10)}
TOY_MATRIX = (128, 1)
DEFAULTS = {
    "cpu": {
        "frameworks": ["torch", "tensorflow", "jax"],
        "size": ["small"],
        "dtype": ["float32"],
        "batch": [4],
        "steps": 3,
    },
    "gpu": {
        "frameworks": ["torch", "torch-compiled", "jax"],
        "size": ["small", "base"],
        "dtype": ["bfloat16", "float32"],
        "batch": None,
        "steps": 20,  # of tens of milliseconds each: the first one waits for the host
    },
}
FIRST_BATCH = 16
TOY_SECONDS = 0.35  # the frames that the toy network has


@dataclass(frozen=True)
class Case:
    """What is measured together: one network on one kind of batch."""

    network: str
    dtype: str
    seconds: float
    batch: int

    @property
    def sizes(self):
        network = NETWORKS[self.network]
        return replace(network, frames=frames_of(self.seconds, network.patch))

    @property
    def options(self):
        """Words of a worker's command line."""
        words = ("--network", self.network, "--dtype", self.dtype)
        return (*words, "--frames", self.sizes.frames, "--batch", self.batch)


def measure(case, device, frameworks, rounds, steps):
    """Yields the result of a case as a dictionary, after every row that it gains."""
    readings, began = Readings(), time.time()
    matrix = TOY_MATRIX if case.network == "toy" else MATRIX[device]
    together = [[name] for name in frameworks] if device == "gpu" else [frameworks]
    for names in together:
        workers = start(names, device, case.options, readings)
        try:
            take_turns(workers, rounds, steps, matrix, readings)
        finally:
            stop(workers)
        yield case_result(case, readings, steps, time.time() - began)


def case_result(case, readings, steps, seconds):
    """The figures of a case, as they are so far."""
    flops, rows, matrix_gflops = step_flops(case.sizes), {}, None
    if readings.answers:
        rates = {
            framework: [answer["gflops"] for answer in answers]
            for framework, answers in readings.rates.items()
        }
        rows = summary(
            readings.answers,
            readings.first,
            rates,
            steps,
            case.batch,
            flops,
            readings.prepared,
        )
        matrix_gflops = float(np.nanmedian(np.nanmax(list(rates.values()), axis=0)))
    failed = {name: {"failed": why} for name, why in readings.failed.items()}
    return {
        "network": case.network,
        "dtype": case.dtype,
        "seconds": case.seconds,
        "frames": case.sizes.frames,
        "tokens": case.sizes.tokens,
        "batch": case.batch,
        "gflop_per_clip": flops / 1e9,
        "matrix_gflops": matrix_gflops,
        "frameworks": {**rows, **failed},
        "duration_seconds": seconds,
    }


def measure_all(options, result, save):
    """Adds the cases to the result, and saves it after every row."""
    began = time.time()
    for size, dtype, seconds in itertools.product(
        options.size, options.dtype, options.seconds
    ):
        batches = sorted(set(options.batch or ())) or (
            FIRST_BATCH * 2**n for n in itertools.count()
        )
        alive = list(options.frameworks)
        for batch in batches:
            case = Case(size, dtype, seconds, batch)
            print(case, file=sys.stderr, flush=True)
            result["cases"].append(None)
            try:
                for found in measure(
                    case, options.device, alive, options.rounds, options.steps
                ):
                    result["cases"][-1] = found
                    result["duration_seconds"] = time.time() - began
                    save(result)
            finally:
                result["cases"] = [found for found in result["cases"] if found]
            rows = found["frameworks"]
            alive = [name for name in alive if "failed" not in rows[name]]
            if not alive:
                break


def save_as(path):
    """A function that writes a result to the file, all of it or nothing."""

    def save(result):
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = path.with_name(path.name + ".part")
            part.write_text(json.dumps(result, indent=2) + "\n")
            part.replace(path)

    return save


def parse(arguments):
    """The options, those that were not given as the device has them by default."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    sizes = ["tiny", "small", "base"]
    parser.add_argument("--size", nargs="+", choices=sizes, help="of the network")
    parser.add_argument("--dtype", nargs="+", choices=DTYPES)
    parser.add_argument("--batch", nargs="+", type=int, help="clips a step")
    parser.add_argument("--seconds", nargs="+", type=float, help="lengths of a clip")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, help="steps a round: 3, 20 on a GPU")
    parser.add_argument("--frameworks", nargs="+", choices=FRAMEWORKS)
    parser.add_argument("--out", type=Path, help="file for the result as JSON")
    parser.add_argument(
        "--tiny", action="store_true", help="a toy network, to see that it all runs"
    )
    options = parser.parse_args(arguments)
    if options.tiny:
        options.size = ["toy"]
    options.seconds = options.seconds or [TOY_SECONDS if options.tiny else 6.0]
    for name, value in DEFAULTS[options.device].items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    for name in ("batch", "rounds", "steps"):
        if np.min(getattr(options, name) or 1) < 1:
            parser.error(f"--{name} is 1 or more; received {getattr(options, name)}")
    if any(not frames_of(seconds) for seconds in options.seconds):
        parser.error(
            "--seconds are long enough for one patch of 16 frames, 0.175 s; "
            f"received {options.seconds}"
        )
    return parser, options


def main(arguments=None):
    parser, options = parse(arguments)
    about = machine.description()
    if options.device == "gpu":
        for framework in options.frameworks:
            try:
                about["gpu"] = probe(framework, "gpu")
            except WorkerFailed as error:
                parser.error(
                    f"--device gpu needs a GPU that {framework} sees; received "
                    f"{error}. Install the build for it, leave {framework} out with "
                    "--frameworks, or take --device cpu"
                )
    result = {
        "machine": about,
        "device": options.device,
        "frameworks": options.frameworks,
        "rounds": options.rounds,
        "steps": options.steps,
        "duration_seconds": 0.0,
        "cases": [],
    }
    status = 0
    try:
        measure_all(options, result, save_as(options.out))
    except KeyboardInterrupt:
        status = 130
    rows = [row for case in result["cases"] for row in case["frameworks"].values()]
    print(*(tables(result) if rows else [heading(result)]), sep="\n")
    return status or int(all("failed" in row for row in rows))


if __name__ == "__main__":
    sys.exit(main())
