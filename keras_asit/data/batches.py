"""From clips, one at a time, to batches that `fit` takes on every backend.

`tf.data` on the TensorFlow backend, a `keras.utils.PyDataset` on the others.
Both ask the same `ClipExamples` for the same clips with the same random
numbers, so that a seed gives the same batches everywhere. Only shards that a
TensorFlow graph reads come in an order of their own.
"""

import math
import operator
import random

import keras
import numpy as np

from keras_asit.audio import LogMelFilterbank
from keras_asit.audio.files import RATES
from keras_asit.audio.filterbank import AUDIOSET_MEAN, AUDIOSET_STD
from keras_asit.data.clips import available_cpus
from keras_asit.data.passes import Passes
from keras_asit.data.py_batches import PyBatches
from keras_asit.data.tf_batches import tf_batches

PATCH_FRAMES = 16  # frames of a patch, in the paper


def make_batches(
    examples, batch_size, frontend, drop_remainder, workers, in_graph=None
):
    """Batches of `examples` for the backend in use.

    Args:
        examples: A `ClipExamples`.
        batch_size: Clips in a batch (over all replicas).
        frontend: Layer that turns the waveforms into features, or None.
        drop_remainder: Whether the last clips that fill no batch are left out.
        workers: Threads that read; None for one a processor.
        in_graph: What makes the batches on TensorFlow, where no Python is needed for
            a clip; by default `tf_batches`.

    Returns:
        A `tf.data.Dataset` or a `keras.utils.PyDataset` of arrays, or of
        tuples where examples have more than one array. It has a length,
        keeps `examples`, and has a position: `state(batches)`, `restore(state)`.
    """
    clips = len(examples.sampler)
    full, rest = divmod(clips, max(1, batch_size))
    steps = full if drop_remainder or not rest else full + 1
    if batch_size < 1 or steps < 1:
        raise ValueError(
            f"Expected a batch_size from 1 to the {clips} clips there are. "
            f"Received: {batch_size}. Use smaller batches, or drop_remainder=False"
        )
    passes = Passes(examples, batch_size, steps)
    workers = workers or available_cpus()
    if keras.backend.backend() == "tensorflow":
        make = in_graph or tf_batches
        dataset = make(passes, frontend=frontend, workers=workers)
        return with_position(dataset, passes, frontend)
    return PyBatches(passes, frontend, workers)


def with_position(dataset, passes, frontend):
    """The `tf.data.Dataset` with what `PyBatches` has: examples, position, a look."""

    def peek(count):
        waves = np.stack([arrays[0] for arrays in passes.first_examples(count)])
        if frontend is None:
            return waves
        return frontend(waves.reshape(-1, waves.shape[-1]))

    dataset.examples, dataset.peek = passes.examples, peek
    dataset.passes = passes
    dataset.state, dataset.restore = passes.state, passes.restore
    return dataset


def checked_samples(seconds, sample_rate):
    """How many samples a length has, at least one.

    Raises:
        ValueError: for a rate or a length out of range.
    """
    is_rate = RATES[0] <= sample_rate <= RATES[1] and sample_rate == int(sample_rate)
    if not is_rate:
        raise ValueError(
            f"Expected a sample_rate in Hz, a whole number from {RATES[0]} to "
            f"{RATES[1]}. Received: {sample_rate}"
        )
    if not 1 <= seconds * sample_rate < math.inf:
        raise ValueError(
            f"Expected a crop of at least a sample, {1 / sample_rate:g} seconds. "
            f"Received: {seconds}"
        )
    return round(seconds * sample_rate)


def checked_count(name, number, least=1):
    """A whole number of at least `least`.

    Raises:
        ValueError: for another.
    """
    try:
        whole = operator.index(number)
    except TypeError:
        whole = least - 1
    if whole < least:
        raise ValueError(
            f"Expected {name} to be a whole number of {least} or more. "
            f"Received: {number!r}"
        )
    return whole


def checked_seed(seed):
    """The seed as an integer; None draws one, as it does in Keras' layers.

    Raises:
        ValueError: for a negative seed, or one that is no integer.
    """
    if seed is None:
        return random.randrange(2**32)  # follows keras.utils.set_random_seed
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if not 0 <= number < 2**63:
        raise ValueError(
            "Expected a seed that is an integer of 0 or more, below 2**63. Received: "
            f"{seed!r}. None draws a seed"
        )
    return number


def feature_layer(features, frontend, sample_rate, samples):
    """The layer that a dataset ends with: None for `features="waveform"`.

    Without a `frontend` the filterbank is normalised as that of a backbone is by
    default, and has as many frames as the clip gives, cut to whole patches: 6 s
    at 32 kHz give 598, of which 592 are kept.

    Raises:
        ValueError: for an unknown kind of features, or when the frontend
            belongs to another sample rate.
    """
    if features not in ("fbank", "waveform"):
        raise ValueError(
            f'Expected features "fbank" or "waveform". Received: {features!r}'
        )
    rate = getattr(frontend, "sample_rate", sample_rate)
    if rate != sample_rate:
        raise ValueError(
            f"Expected sample_rate={rate}, the frontend's. Received: {sample_rate}. "
            "Features of another rate are another input: pass the same rate to both"
        )
    if features == "waveform":
        return None
    if frontend is not None:
        return frontend
    frames = LogMelFilterbank(sample_rate).frames(samples)
    whole = max(1, frames // PATCH_FRAMES) * PATCH_FRAMES
    return LogMelFilterbank(
        sample_rate, num_frames=whole, mean=AUDIOSET_MEAN, std=AUDIOSET_STD
    )
