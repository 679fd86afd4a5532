"""Random numbers that follow from (seed, epoch, clip) alone, everywhere the same.

A view must not depend on which thread read it, on the backend, or on whether the
clip came from a file (drawn in numpy) or from a shard (drawn in a TensorFlow graph,
maybe on another machine). Neither numpy's generators nor TensorFlow's exist in both
places, so the numbers are a hash of what they belong to: SplitMix64, which is a few
multiplications of 64-bit integers.

Reference:
    Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014.
"""

import types
import zlib

import numpy as np

_GOLDEN = 0x9E3779B97F4A7C15
_FACTORS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
_BITS = 11  # of 64 that a float64 has no room for


def key(seed, epoch, clip):
    """The key of one clip in one epoch, from three integers of 0 or more.

    Args:
        seed: Integer of the dataset.
        epoch: Number of the epoch.
        clip: Number of the clip in the manifest, or an array of such.

    Returns:
        A uint64, of numpy; of TensorFlow where one of the three is its tensor.
    """
    xp = _operations(seed, epoch, clip)
    mixed = xp.integer(0)
    for number in (seed, epoch, clip):
        mixed = derived(mixed, number)
    return mixed


def derived(key, number):
    """Another key, for what is drawn again: of a key, and an integer of 0 or more."""
    xp = _operations(key, number)
    return _mix(key + xp.integer(_GOLDEN) + xp.integer(number), xp)


def uniforms(key, purpose, count):
    """Numbers in [0, 1), the same ones for the same key and purpose.

    Args:
        key: What `key` returned.
        purpose: What they are drawn for, a name: other purposes, other numbers.
        count: How many.

    Returns:
        float64 `[count]`, of numpy or TensorFlow as the key is.

    Example:

    >>> from keras_asit.data import draws
    >>> clip = draws.key(seed=0, epoch=3, clip=17)
    >>> bool((draws.uniforms(clip, "crop", 2) == draws.uniforms(clip, "crop", 2)).all())
    True
    """
    xp = _operations(key)
    start = _mix(key + xp.integer(zlib.crc32(purpose.encode())), xp)
    steps = np.arange(1, count + 1, dtype="uint64") * np.uint64(_GOLDEN)
    bits = xp.shift(_mix(start + xp.integer(steps), xp), _BITS)
    return xp.float64(bits) * 2.0 ** (_BITS - 64)


def below(uniform, bound):
    """A whole number from 0 to below `bound`, int64, from one of `uniforms`.

    Args:
        uniform: float64 in [0, 1).
        bound: Integer; 0 and less give 0.
    """
    xp = _operations(uniform, bound)
    number = xp.int64(uniform * xp.float64(bound))
    return xp.maximum(number, xp.int64(0))


def happens(uniform, probability):
    """1 with a probability, else 0, int64, from one of `uniforms`."""
    return _operations(uniform).int64(uniform < probability)


def symmetric_beta(uniforms):
    """A draw of Beta(a, a), a whole: the middle one of 2 a - 1 uniform numbers.

    Args:
        uniforms: float64 `[2 a - 1]`.
    """
    xp = _operations(uniforms)
    return xp.sort(uniforms)[uniforms.shape[0] // 2]


def _mix(z, xp):
    """SplitMix64's finalizer."""
    for bits, factor in zip((30, 27), _FACTORS):
        z = (z ^ xp.shift(z, bits)) * xp.integer(factor)
    return z ^ xp.shift(z, 31)


def _numpy_operations():
    """What this module does with 64-bit integers, which wrap around, in numpy."""

    def integer(number):  # an array even of one: numpy warns where scalars wrap
        number = np.asarray(number).astype("uint64")
        return number.reshape(number.shape or (1,))

    return types.SimpleNamespace(
        integer=integer,
        shift=lambda z, bits: z >> np.uint64(bits),
        float64=lambda x: np.asarray(x, "float64"),
        int64=lambda x: np.asarray(x).astype("int64"),
        maximum=np.maximum,
        sort=np.sort,
    )


def _tensorflow_operations():
    """The same on TensorFlow's tensors."""
    import tensorflow as tf

    def integer(number):
        if isinstance(number, int):  # most are too large for the int64 of a cast
            return tf.constant(number, tf.uint64)
        return tf.cast(number, tf.uint64)

    return types.SimpleNamespace(
        integer=integer,
        shift=lambda z, bits: tf.bitwise.right_shift(z, tf.constant(bits, tf.uint64)),
        float64=lambda x: tf.cast(x, tf.float64),
        int64=lambda x: tf.cast(x, tf.int64),
        maximum=tf.maximum,
        sort=tf.sort,
    )


_NUMPY = _numpy_operations()


def _operations(*values):
    if any(type(value).__module__.startswith("tensorflow") for value in values):
        return _tensorflow_operations()
    return _NUMPY
