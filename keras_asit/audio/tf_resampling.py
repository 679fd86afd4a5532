"""soxr's resampling as a convolution, so that it runs inside a TensorFlow graph.

TensorFlow has no resampler, and that of tensorflow-io is no substitute: it delays by
32 samples or more and attenuates what soxr keeps. But between two rates soxr is a
linear filter, so its answers to single impulses say all about it.
"""

import functools
import math
from typing import NamedTuple

import numpy as np

from keras_asit.audio.resampling import resample

# Samples of the lower rate. soxr_hq reaches no further to either side: 96 leave less
# than 1e-6. So many of its first ones differ: they do not see all that is before.
REACH = 96
MAX_TAPS = 1 << 21  # 8 MiB


class Impulses(NamedTuple):
    """soxr's filter between two rates, as `tf_resample` applies it.

    Sample `k * up + p` of the result is the product of `taps[:, p]` and the source
    from sample `k * down - before` on.

    Attributes:
        up: Samples of the result in a step.
        down: Samples of the source in a step.
        before: Samples of the source that a step needs before its own.
        taps: float32 `[taps, up]`.
        start: float32 `[samples, results]`, for the first results.
    """

    up: int
    down: int
    before: int
    taps: np.ndarray
    start: np.ndarray


@functools.lru_cache(maxsize=64)
def impulses(rate, sample_rate):
    """Measures soxr's filter from `rate` to `sample_rate`, in Hz.

    Raises:
        ValueError: If they have so small a common divisor that there are too many taps.
    """
    common = math.gcd(rate, sample_rate)
    up, down = sample_rate // common, rate // common
    before = math.ceil(REACH * max(1, rate / sample_rate))
    # A product of small matrices is slow: a step is as long as the filter reaches.
    steps = max(1, before // down)
    up, down = up * steps, down * steps
    taps = before + down + before
    if taps * up > MAX_TAPS:
        raise ValueError(
            f"Expected rates with a larger common divisor than {common}. Received: "
            f"{rate} Hz to be resampled to {sample_rate} Hz in a TensorFlow graph"
        )
    first_step = math.ceil(2 * before / down)
    begin = first_step * down - before
    answers = np.stack(
        [resample(impulse, rate, sample_rate) for impulse in np.eye(begin + taps)]
    )
    first = first_step * up
    starts = math.ceil(REACH * max(1, sample_rate / rate))
    return Impulses(
        up,
        down,
        before,
        taps=answers[begin:, first : first + up].astype("float32"),
        start=answers[: 2 * before + 1, :starts].astype("float32"),
    )


def tf_resample(waveform, rate, sample_rate, first=0, count=None):
    """A waveform at another rate, or a part of it, as `resample` would make it.

    The part alone is computed. The difference to soxr is that of rounding, below
    3e-6 where samples reach 1.

    Args:
        waveform: Tensor `[S]` of rate `rate`, float32.
        rate: Its rate in Hz, an integer.
        sample_rate: Rate of the result in Hz, an integer.
        first: First sample of the part, at `sample_rate`.
        count: Samples of the part, fewer where the waveform ends; None to its end.

    Output shape:
        `[count]`, float32.
    """
    import tensorflow as tf

    samples = tf.size(waveform, out_type=tf.int64)
    length = -(-samples * sample_rate // rate)
    last = length if count is None else tf.minimum(length, first + count)
    first = tf.minimum(tf.cast(first, tf.int64), last)
    if rate == sample_rate:
        return waveform[first:last]
    by = impulses(rate, sample_rate)
    step = first // by.up
    steps = tf.maximum(-(-last // by.up) - step, 1)
    source = _samples(
        waveform, step * by.down - by.before, (steps - 1) * by.down + len(by.taps)
    )
    result = tf.nn.conv1d(
        source[None, :, None], by.taps[:, None], stride=by.down, padding="VALID"
    )
    result = tf.reshape(result, [-1])[first - step * by.up :][: last - first]
    result = _with_start(result, waveform, by.start, first)
    # soxr rounds the length, `resample` rounds up and ends with a zero.
    sounding = (2 * samples * sample_rate + rate) // (2 * rate) - first
    return tf.where(tf.range(last - first) < sounding, result, 0.0)


def _samples(waveform, first, count):
    """Samples of a waveform from `first` on; zeros before and after it."""
    import tensorflow as tf

    part = waveform[tf.maximum(first, 0) : tf.maximum(first + count, 0)]
    before = tf.minimum(tf.maximum(-first, 0), count)
    after = count - before - tf.size(part, out_type=tf.int64)
    return tf.pad(part, [[before, after]])


def _with_start(result, waveform, start, first):
    import tensorflow as tf

    source = _samples(waveform, tf.constant(0, tf.int64), len(start))
    head = tf.linalg.matvec(start, source, transpose_a=True)[first:]
    head = head[: tf.size(result)]
    return tf.concat([head, result[tf.size(head) :]], axis=0)
