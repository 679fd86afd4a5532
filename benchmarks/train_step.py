"""Speed of the pretraining step: keras_asit on TensorFlow and on JAX, and PyTorch.

    python -m benchmarks.train_step
    python -m benchmarks.train_step --size base --batch 2 --out build/train_step.json

The step is that of `ASiTPretrainer` with the `reference` profile in float32: two
views of (592, 128) a clip, AdamW with each variable's gradient clipped, stochastic
depth 0.1, inside `fit` (see `benchmarks.step_worker`). PyTorch's is the same
network written in `benchmarks.torch_asit`.

Every framework has a process of its own, started once. They take turns, a few
steps each, while the others wait, so that a busy minute of the machine meets all
of them: only the ratios within a round mean anything, and their median is shown.
Even so, run it on a machine that does nothing else: PyTorch's threads wait for
each other in a busy loop and lose more than the others where processors are short.

The matrix rate is that of a large float32 product on all processors. Every
framework measures its own in every round, and the highest of a round counts (the
libraries differ twofold on some processors). The share of it is the step's
arithmetic (`step_flops`) over its time and that rate.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks import machine
from benchmarks.networks import NETWORKS, step_flops

ROOT = Path(__file__).resolve().parent.parent
PEER = "torch"
MATRIX, TOY_MATRIX = 3072, 128  # sides of the products that give the matrix rate


class Worker:
    """A process of `benchmarks.step_worker`, asked through its pipes."""

    def __init__(self, framework, network, batch):
        self.framework = framework
        command = [sys.executable, "-m", "benchmarks.step_worker", framework]
        self.process = subprocess.Popen(
            [*command, "--network", network, "--batch", str(batch)],
            cwd=ROOT,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(
                f"The {self.framework} process ended with status "
                f"{self.process.wait()}; its error is above. Is the package "
                f"installed? --backends chooses others than tensorflow and jax."
            )
        return json.loads(line)

    def ask(self, request):
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()
        return self.answer()

    def stop(self):
        self.process.stdin.close()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()


def take_turns(workers, rounds, steps, matrix_side):
    """Answers, and matrix rates in GFLOP/s, of each round by framework.

    The order is turned around every second round.
    """
    answers = {framework: [] for framework in workers}
    rates = {framework: [] for framework in workers}
    for number in range(rounds):
        for framework, worker in workers.items():
            rates[framework].append(worker.ask(f"matmul {matrix_side}")["gflops"])
        order = list(workers)[:: -1 if number % 2 else 1]
        for framework in order:
            answers[framework].append(workers[framework].ask(f"steps {steps}"))
        print(f"round {number + 1} of {rounds} done", file=sys.stderr, flush=True)
    return answers, rates


def summary(answers, first, rates, steps, batch, flops):
    """One row of figures a framework, medians over the rounds.

    Args:
        answers: What the workers said of each round, by framework.
        first: What they said of the first step, by framework.
        rates: Their matrix rates in each round in GFLOP/s, by framework.
        steps: Steps a round.
        batch: Clips a step.
        flops: FLOPs of a step for one clip.
    """
    speed = {
        framework: np.array([steps * batch / a["seconds"] for a in rounds])
        for framework, rounds in answers.items()
    }
    highest = np.max(list(rates.values()), axis=0)
    return {
        framework: {
            "clips_per_second": float(np.median(clips)),
            "ratio_to_torch": float(np.median(clips / speed[PEER])),
            "ratios": (clips / speed[PEER]).round(3).tolist(),
            "share_of_matrix_rate": float(np.median(clips * flops / 1e9 / highest)),
            "own_matrix_gflops": float(np.median(rates[framework])),
            "cpu_seconds_per_step": float(
                np.median([a["cpu_seconds"] / steps for a in answers[framework]])
            ),
            "first_step_seconds": first[framework]["seconds"],
            "peak_rss_gb": answers[framework][-1]["rss_gb"],
        }
        for framework, clips in speed.items()
    }


def measure(network, batch, rounds, steps, frameworks):
    """The whole result as a dictionary."""
    flops = step_flops(NETWORKS[network])
    began, about = time.time(), machine.description()
    workers, first = {}, {}
    try:
        for framework in (PEER, *frameworks):
            # One at a time: the first steps must not share the processors either.
            workers[framework] = Worker(framework, network, batch)
            first[framework] = workers[framework].answer()
        answers, rates = take_turns(
            workers, rounds, steps, TOY_MATRIX if network == "toy" else MATRIX
        )
    finally:
        for worker in workers.values():
            worker.stop()
    return {
        "machine": about,
        "network": network,
        "batch": batch,
        "rounds": rounds,
        "steps": steps,
        "gflop_per_clip": flops / 1e9,
        "matrix_gflops": float(np.median(np.max(list(rates.values()), axis=0))),
        "frameworks": summary(answers, first, rates, steps, batch, flops),
        "duration_seconds": time.time() - began,
    }


def table(result):
    """The result as lines of text."""
    about = result["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items())
    yield (
        f"{about['cpu']}, {about['cpus']} CPUs, load {about['load']}; {versions}; "
        f"commit {about['commit']}"
    )
    yield (
        f"{result['network']}, batch {result['batch']}, float32: "
        f"{result['gflop_per_clip']:.3g} GFLOP a clip; matrix rate "
        f"{result['matrix_gflops']:.0f} GFLOP/s; {result['rounds']} rounds of "
        f"{result['steps']} steps in {result['duration_seconds']:.0f} s"
    )
    yield ""
    yield (
        "| framework | clips/s | x torch (lowest to highest) | of matrix rate "
        "| own matrix rate | first step | peak memory |"
    )
    yield "|---|---|---|---|---|---|---|"
    for framework, row in result["frameworks"].items():
        low, high = min(row["ratios"]), max(row["ratios"])
        yield (
            f"| {framework} | {row['clips_per_second']:.3g} "
            f"| {row['ratio_to_torch']:.2f} ({low:.2f} to {high:.2f}) "
            f"| {100 * row['share_of_matrix_rate']:.0f} % "
            f"| {row['own_matrix_gflops']:.0f} GFLOP/s "
            f"| {row['first_step_seconds']:.1f} s | {row['peak_rss_gb']:.2f} GB |"
        )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=["tiny", "small", "base"], default="small")
    parser.add_argument("--batch", type=int, default=4, help="clips a step")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="steps a round")
    parser.add_argument(
        "--backends",
        nargs="*",
        choices=["tensorflow", "jax"],
        default=["tensorflow", "jax"],
        help="of Keras, beside PyTorch",
    )
    parser.add_argument("--out", type=Path, help="file for the result as JSON")
    parser.add_argument(
        "--tiny", action="store_true", help="a toy network, to see that it all runs"
    )
    options = parser.parse_args(arguments)
    result = measure(
        "toy" if options.tiny else options.size,
        options.batch,
        options.rounds,
        options.steps,
        options.backends,
    )
    print(*table(result), sep="\n")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
