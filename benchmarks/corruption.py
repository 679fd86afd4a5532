"""Time of `GMMLCorruption` on the views of one small training batch.

Run it on the backend of your choice:

    KERAS_BACKEND=jax python -m benchmarks.corruption

On TensorFlow it is a graph, as in a training step on the CPU, where Keras leaves XLA
out unless it is asked for; `--xla` asks for it.

It prints milliseconds per batch of 4 clips x 2 views of (592, 128), compiled,
as the median and the fastest of the repetitions.
"""

import argparse
import time

import keras
import numpy as np

from keras_asit.layers.gmml_corruption import GMMLCorruption

SHAPE = (4, 2, 592, 128)


def compiled(layer, xla=False):
    """A function of clean views that runs the layer as a training step would."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(layer, jit_compile=xla)
    if backend == "jax":
        return _compiled_by_jax(layer)
    return layer


def _compiled_by_jax(layer):
    import jax

    step = jax.jit(lambda state, clean: layer.stateless_call([], state, clean))
    state = [variable.value for variable in layer.non_trainable_variables]

    def run(clean):
        nonlocal state
        outputs, state = step(state, clean)
        return outputs

    return run


def milliseconds(layer, repetitions, xla=False):
    """Times of the repetitions in milliseconds, compilation left out."""
    clean = keras.ops.convert_to_tensor(
        np.random.default_rng(0).normal(size=SHAPE).astype("float32")
    )
    layer.build(SHAPE)
    run = compiled(layer, xla)
    times = []
    for _ in range(repetitions + 2):
        start = time.perf_counter()
        outputs = run(clean)
        keras.ops.convert_to_numpy(outputs[1][0, 0, 0, 0])
        times.append(1000 * (time.perf_counter() - start))
    return np.array(times[2:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=30)
    parser.add_argument("--xla", action="store_true", help="on TensorFlow")
    asked = parser.parse_args()
    variants = {
        "zeros 0.7, alien 0.3": {},
        "zeros 0.7 only": {"alien_probability": 0.0},
        "noise 0.7 only": {"alien_probability": 0.0, "fill": "noise"},
        "aligned to 16": {"align": 16},
        "zeros 0.95 only": {"ratio": 0.95, "alien_probability": 0.0},
    }
    print(f"backend {keras.backend.backend()}, clean views {SHAPE}")
    for name, options in variants.items():
        times = milliseconds(
            GMMLCorruption(seed=0, **options), asked.repetitions, asked.xla
        )
        print(
            f"{name:22s} median {np.median(times):6.1f} ms  best {times.min():6.1f} ms"
        )


if __name__ == "__main__":
    main()
