"""Training steps of keras_asit, for `benchmarks.step_worker`.

The worker sits inside `ASiTPretrainer.fit`: a callback waits for the next request
between two batches, so that what is timed is the compiled step as `fit` runs it,
callbacks and feeding of the batch included.
"""

import itertools
import os
import time

import numpy as np

from benchmarks import machine
from benchmarks.networks import VIEWS


def keras_pretrainer(network, dtype=None, **options):
    """The network as an `ASiTPretrainer`.

    Args:
        network: A `benchmarks.networks.Network`.
        dtype: Dtype policy of the backbone, which the heads follow.
        **options: Of the pretrainer, beside those of its sizes.
    """
    from keras_asit.models import ASiTBackbone, ASiTPretrainer

    backbone = ASiTBackbone(
        (network.frames, network.mel_bins),
        network.patch,
        network.hidden,
        network.layers,
        network.heads,
        network.mlp,
        dtype=dtype,
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


def run_keras(network, views, options, conversation):
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
            loss = float(logs["loss"])
            conversation.answer(loss, memory_gb(options.device))
            self.steps_left = conversation.next_steps(requests)
            if not self.steps_left:
                self.model.stop_training = True

    policies = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
    pretrainer = keras_pretrainer(network, policies[options.dtype])
    pretrainer.compile(optimizer=ScheduledAdamW(1e-4, clipnorm=3.0))
    requests = {
        "matmul": machine.rate_of(lambda matrix: product(matrix, options.dtype)),
        "prepare": Preparation(pretrainer, options.batch),
    }
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


def product(matrix, dtype):
    """The backend's own matrix product, outside XLA on TensorFlow."""
    from keras import ops

    matrix = ops.cast(ops.convert_to_tensor(matrix), dtype)

    def multiply(times):
        for _ in range(times):
            result = matrix @ matrix
        return float(result[0, 0])

    return multiply


def memory_gb(device):
    """Peak memory of the GPU in GB (1e9 bytes); None on a CPU."""
    if device == "cpu":
        return None
    if os.environ["KERAS_BACKEND"] == "jax":
        import jax

        return jax.devices()[0].memory_stats()["peak_bytes_in_use"] / 1e9
    import tensorflow as tf

    return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e9


class Preparation:
    """The request `prepare`: filterbank and corruption of a batch of waveforms.

    `objective.prepare`, compiled by itself as the backend compiles the step, on
    waveforms that give the views' frames and lie on the device already.

    Args:
        pretrainer: An `ASiTPretrainer`, compiled.
        batch: Clips.
    """

    def __init__(self, pretrainer, batch):
        self.pretrainer, self.batch, self.compiled = pretrainer, batch, None
        if os.environ["KERAS_BACKEND"] == "jax":
            # Copied now: within `fit` Keras takes the values out of the variables.
            self.variables = [
                *pretrainer.corruption.variables,
                *pretrainer.random_filter.variables,
            ]
            self.values = [np.array(variable) for variable in self.variables]

    def __call__(self, times):
        if self.compiled is None:
            self.compiled = self.compile()
        waveforms = self.make_waveforms()  # not kept: the steps need the memory
        self.run(waveforms, 1)
        begin = time.perf_counter()
        self.run(waveforms, times)
        return {"seconds": time.perf_counter() - begin}

    def make_waveforms(self):
        from keras import ops

        student = self.pretrainer.student
        samples = student.frontend.samples(student.num_frames)
        shape = (self.batch, VIEWS, samples)
        noise = np.random.default_rng(0).standard_normal(shape, "float32") * 0.1
        return ops.convert_to_tensor(noise)

    def compile(self):
        """`prepare` as one program, a function of the waveforms."""
        if os.environ["KERAS_BACKEND"] == "jax":
            return self._compile_on_jax()
        import tensorflow as tf

        return tf.function(self.prepare, jit_compile=self.pretrainer.jit_compile)

    def prepare(self, waveforms):
        from keras_asit.models import objective

        return objective.prepare(self.pretrainer, waveforms, training=True)

    def _compile_on_jax(self):
        import jax
        import keras

        @jax.jit
        def function(values, waveforms):
            pairs = list(zip(self.variables, values))
            with keras.StatelessScope(state_mapping=pairs) as scope:
                made = self.prepare(waveforms)
            return made, [scope.get_current_value(v) for v in self.variables]

        def run(waveforms):
            made, self.values = function(self.values, waveforms)
            return made

        return run

    def run(self, waveforms, times):
        """Comes back when the arrays of the last call are there."""
        for _ in range(times):
            made = self.compiled(waveforms)
        return float(made["mask"][0, 0, 0, 0])
