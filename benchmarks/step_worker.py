"""One framework's training steps, on demand: the child of `benchmarks.train_step`.

    python -m benchmarks.step_worker tensorflow --network toy --batch 2

It builds the model, takes the first step, says so in a line of JSON on its
standard output, and then waits for lines on its standard input: `steps 3` runs
and times three steps, `matmul 3072` measures the float32 matrix rate of the
framework by products of that side, anything else ends it.

A Keras worker sits inside `ASiTPretrainer.fit`: a callback waits for the next
line between two batches, so that what is timed is the compiled step as `fit` runs
it, callbacks and feeding of the batch included. The clock stops when the loss of
the last step has arrived as a Python number.
"""

import argparse
import itertools
import json
import os
import sys
import time

import numpy as np

from benchmarks import machine
from benchmarks.networks import NETWORKS, VIEWS


class Conversation:
    """Requests from the parent, answers to it, and the clock."""

    def __init__(self):
        # Answers have the pipe to themselves; what libraries print goes to stderr.
        self.answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        self.start()

    def start(self):
        self.began = time.perf_counter(), time.process_time()

    def answer(self, loss):
        wall, cpu = time.perf_counter(), time.process_time()
        self.say(
            {
                "seconds": wall - self.began[0],
                "cpu_seconds": cpu - self.began[1],
                "loss": loss,
                "rss_gb": machine.peak_rss_gb(),
            }
        )

    def say(self, facts):
        self.answers.write(json.dumps(facts) + "\n")
        self.answers.flush()

    def next_steps(self, prepare_product):
        """Number of steps asked for next; 0 for none."""
        words = sys.stdin.readline().split()
        while words[:1] == ["matmul"]:
            rate = machine.matrix_rate(prepare_product, int(words[1]))
            self.say({"gflops": rate})
            words = sys.stdin.readline().split()
        steps = int(words[1]) if words[:1] == ["steps"] else 0
        self.start()
        return steps


def keras_pretrainer(network, **options):
    """The network as an `ASiTPretrainer`; options beside those of its sizes."""
    from keras_asit.models import ASiTBackbone, ASiTPretrainer

    backbone = ASiTBackbone(
        (network.frames, network.mel_bins),
        network.patch,
        network.hidden,
        network.layers,
        network.heads,
        network.mlp,
    )
    return ASiTPretrainer(
        backbone,
        profile="reference",
        seed=0,
        projection_hidden_dims=network.projection[:-1],
        projection_bottleneck_dim=network.projection[-1],
        local_dim=network.local_dim,
        global_dim=network.global_dim,
        reconstruction_hidden_dims=network.reconstruction[:-1],
        reconstruction_bottleneck_dim=network.reconstruction[-1],
        **options,
    )


def run_keras(network, views, conversation):
    """Steps of `ASiTPretrainer` inside `fit`, on the backend of KERAS_BACKEND."""
    import keras

    from keras_asit.optimizers import ScheduledAdamW

    class TakeTurns(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.steps_left = 1

        def on_train_batch_end(self, step, logs=None):
            self.steps_left -= 1
            if self.steps_left:
                return
            conversation.answer(float(logs["loss"]))
            self.steps_left = conversation.next_steps(keras_product)
            self.model.stop_training = not self.steps_left

    pretrainer = keras_pretrainer(network)
    pretrainer.compile(optimizer=ScheduledAdamW(1e-4, clipnorm=3.0))
    conversation.start()
    pretrainer.fit(
        endless(views),
        steps_per_epoch=10**6,
        shuffle=False,
        verbose=0,
        callbacks=[TakeTurns()],
    )


def endless(views):
    """The same batch again and again, as the backend likes to be fed."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.data.Dataset.from_tensors(views).repeat()
    return ((views,) for _ in itertools.repeat(None))


def keras_product(matrix):
    """The backend's own matrix product, outside XLA on TensorFlow."""
    from keras import ops

    matrix = ops.convert_to_tensor(matrix)
    return lambda: ops.convert_to_numpy((matrix @ matrix)[0, 0])


def run_torch(network, views, conversation):
    """Steps of the plain PyTorch peer."""
    import torch

    from benchmarks.torch_asit import Pretraining

    def product(matrix):
        matrix = torch.from_numpy(matrix)
        return lambda: matrix @ matrix

    torch.manual_seed(0)
    pretraining, views = Pretraining(network), torch.from_numpy(views)
    conversation.start()
    steps = 1
    while steps:
        for _ in range(steps):
            loss = pretraining.step(views)
        conversation.answer(loss)
        steps = conversation.next_steps(product)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("framework", choices=["tensorflow", "jax", "torch"])
    parser.add_argument("--network", choices=NETWORKS, default="small")
    parser.add_argument("--batch", type=int, default=4)
    options = parser.parse_args()
    network = NETWORKS[options.network]
    shape = (options.batch, VIEWS, network.frames, network.mel_bins)
    views = np.random.default_rng(0).normal(0, 0.5, shape).astype("float32")
    conversation = Conversation()
    if options.framework == "torch":
        run_torch(network, views, conversation)
    else:
        os.environ["KERAS_BACKEND"] = options.framework
        run_keras(network, views, conversation)


if __name__ == "__main__":
    main()
