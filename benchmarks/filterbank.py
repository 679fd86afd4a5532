"""Time of the log-mel filterbank of one 6 s clip at 32 kHz, on one thread.

    python -m benchmarks.filterbank
    KERAS_BACKEND=jax python -m benchmarks.filterbank

On TensorFlow, one thread for and between operations, the layer runs as in
`tf.data` (a graph) and as in a training step (XLA). kaldi-native-fbank, called
from Python, is the same computation by the field's reference. The two take turns,
so that a busy moment of the machine meets both.
"""

import argparse
import os
import time

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
if os.environ["KERAS_BACKEND"] == "jax":  # JAX reads its threads from here only
    os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import keras
import numpy as np

from benchmarks import machine
from keras_asit.audio import LogMelFilterbank

SAMPLE_RATE, SECONDS = 32000, 6


def compiled(layer, waveform):
    """Named functions without arguments that run the layer to the end."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        run = jax.jit(layer)
        return {"jax.jit": lambda: run(waveform).block_until_ready()}
    if backend != "tensorflow":
        return {backend: lambda: keras.ops.convert_to_numpy(layer(waveform))}
    import tensorflow as tf

    use_one_thread()
    tensor = tf.constant(waveform)
    graph, xla = tf.function(layer), tf.function(layer, jit_compile=True)
    return {
        "tf.function": lambda: graph(tensor).numpy(),
        "tf.function, XLA": lambda: xla(tensor).numpy(),
    }


def use_one_thread():
    """Before TensorFlow's first operation; afterwards it refuses."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def kaldi(waveform):
    """The same by kaldi-native-fbank."""
    import kaldi_native_fbank

    options = kaldi_native_fbank.FbankOptions()
    options.frame_opts.samp_freq = SAMPLE_RATE
    options.frame_opts.dither = 0.0
    options.frame_opts.window_type = "hanning"
    options.mel_opts.num_bins = 128
    samples = waveform.tolist()  # what its `accept_waveform` is fastest with

    def run():
        fbank = kaldi_native_fbank.OnlineFbank(options)
        fbank.accept_waveform(SAMPLE_RATE, samples)
        fbank.input_finished()
        frames = [fbank.get_frame(i) for i in range(fbank.num_frames_ready)]
        return np.stack(frames)

    return run


def milliseconds(functions, turns, calls=10):
    """Times of each function, called in turns, some calls at a time."""
    times = {name: [] for name in functions}
    for turn in range(turns + 1):
        for name, function in functions.items():
            for _ in range(calls):
                start = time.perf_counter()
                function()
                if turn > 0:  # the first one traces and compiles
                    times[name].append(1000 * (time.perf_counter() - start))
    return times


def about(facts):
    """One line that says what was measured on what."""
    versions = ", ".join(" ".join(item) for item in facts["versions"].items())
    return (
        f"{facts['cpu']}, {facts['cpus']} CPUs, load {facts['load']}; "
        f"backend {keras.backend.backend()}; {versions}; commit {facts['commit']}"
    )


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=20)
    turns = parser.parse_args(arguments).turns
    waveform = np.random.default_rng(0).normal(0, 0.1, round(SECONDS * SAMPLE_RATE))
    waveform = waveform.astype("float32")
    functions = compiled(LogMelFilterbank(), waveform)
    functions["kaldi-native-fbank"] = kaldi(waveform)
    print(about(machine.description()))
    for name, times in milliseconds(functions, turns).items():
        print(
            f"{name:20s} median {np.median(times):6.2f} ms  best {min(times):6.2f} ms"
        )


if __name__ == "__main__":
    main()
