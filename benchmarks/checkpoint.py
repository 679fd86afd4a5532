"""What a checkpoint costs: the time that training waits for it, beside a step's.

    KERAS_BACKEND=jax python -m benchmarks.checkpoint
    python -m benchmarks.checkpoint --size base --batch 2 --folder DISK --out FILE.json

The network, the step and its options are those of `benchmarks.train_step`, on the
backend of KERAS_BACKEND. In every turn a few steps of `fit` run without a checkpoint,
and then `callbacks.Checkpoint` saves. `blocked` is the time in which it copies the
values, between two steps: training waits. `next step` is the step after it, which a
thread disturbs that writes. `write` is the time until the file is whole and on the disk.
Medians of all turns are shown, and the highest of `blocked`.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import keras
import numpy as np

from benchmarks import machine
from benchmarks.networks import NETWORKS, VIEWS
from benchmarks.step_worker import endless, keras_pretrainer
from keras_asit import checkpoints
from keras_asit.callbacks import Checkpoint
from keras_asit.optimizers import ScheduledAdamW


class TimedCheckpoint(Checkpoint):
    """Saves when it is told to, and takes the time.

    Args:
        directory: Folder of the checkpoints.
        steps: Steps of a turn that are timed before it saves.
        turns: Turns, after a step that compiles.
    """

    def __init__(self, directory, steps, turns):
        super().__init__(directory, every=10**9, keep=1)
        self.steps, self.turns = steps, turns
        self.times = {"step": [], "blocked": [], "next_step": [], "write": []}

    def on_train_batch_begin(self, batch, logs=None):
        self._began = time.perf_counter()

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        float(logs["loss"])  # until the device has finished the step
        seconds = time.perf_counter() - self._began
        in_turn = (batch - 1) % (self.steps + 1)
        if batch and in_turn < self.steps:
            self.times["step"].append(seconds)
        elif batch:
            self.times["next_step"].append(seconds)
            self.wait()
            self.model.stop_training = len(self.times["write"]) == self.turns
        if batch and in_turn == self.steps - 1:
            began = time.perf_counter()
            self._save()
            self.times["blocked"].append(time.perf_counter() - began)

    def on_train_end(self, logs=None):
        self.close()

    def _write(self, *what):
        began = time.perf_counter()
        super()._write(*what)
        self.times["write"].append(time.perf_counter() - began)


def measure(network, batch, steps, turns, folder):
    """The whole result as a dictionary."""
    began, about = time.time(), machine.description()
    sizes = NETWORKS[network]
    shape = (batch, VIEWS, sizes.frames, sizes.mel_bins)
    views = np.random.default_rng(0).normal(0, 0.5, shape).astype("float32")
    pretrainer = keras_pretrainer(sizes)
    pretrainer.compile(optimizer=ScheduledAdamW(1e-4, clipnorm=3.0))
    saving = TimedCheckpoint(folder, steps, turns)
    pretrainer.fit(
        endless(views), steps_per_epoch=10**6, shuffle=False, verbose=0,
        callbacks=[saving],
    )  # fmt: skip
    [path] = checkpoints.paths_in(folder)
    medians = {name: float(np.median(times)) for name, times in saving.times.items()}
    return {
        "machine": about,
        "backend": keras.backend.backend(),
        "network": network,
        "batch": batch,
        "steps": steps,
        "turns": turns,
        "seconds": medians,
        "longest_blocked": max(saving.times["blocked"]),
        "blocked_in_steps": medians["blocked"] / medians["step"],
        "file_gb": path.stat().st_size / 1e9,
        "duration_seconds": time.time() - began,
    }


def table(result):
    """The result as lines of text."""
    about, seconds = result["machine"], result["seconds"]
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items())
    yield (
        f"{about['cpu']}, {about['cpus']} CPUs, load {about['load']}; {versions}; "
        f"commit {about['commit']}"
    )
    yield (
        f"{result['network']}, batch {result['batch']}, backend {result['backend']}: "
        f"{result['turns']} turns of {result['steps']} steps in "
        f"{result['duration_seconds']:.0f} s"
    )
    yield ""
    yield "| step | blocked (longest) | in steps | next step | write | file |"
    yield "|---|---|---|---|---|---|"
    yield (
        f"| {seconds['step']:.3g} s "
        f"| {seconds['blocked']:.3g} s ({result['longest_blocked']:.3g} s) "
        f"| {result['blocked_in_steps']:.2g} | {seconds['next_step']:.3g} s "
        f"| {seconds['write']:.3g} s | {result['file_gb']:.3g} GB |"
    )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=["tiny", "small", "base"], default="small")
    parser.add_argument("--batch", type=int, default=4, help="clips a step")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="steps a turn")
    parser.add_argument(
        "--folder", type=Path, help="an existing folder on the disk that is written to"
    )
    parser.add_argument("--out", type=Path, help="file for the result as JSON")
    parser.add_argument(
        "--tiny", action="store_true", help="a toy network, to see that it all runs"
    )
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        network = "toy" if options.tiny else options.size
        result = measure(network, options.batch, options.steps, options.turns, folder)
    print(*table(result), sep="\n")
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
