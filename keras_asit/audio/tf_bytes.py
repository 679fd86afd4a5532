"""What a TensorFlow graph can read in the bytes of a file, a string tensor."""


def bytes_at(data, at, size):
    """So many bytes from `at` on; zeros where the data have ended."""
    import tensorflow as tf

    at = tf.minimum(tf.cast(at, tf.int64), count_bytes(data))
    there = tf.strings.substr(data, at, size)
    return tf.strings.substr(tf.strings.join([there, bytes(size)]), 0, size)


def number_at(data, at, size, big_endian=False):
    """The integer of so many bytes from `at` on."""
    import tensorflow as tf

    digits = tf.io.decode_raw(bytes_at(data, at, size), tf.uint8)
    digits = tf.cast(digits[::-1] if big_endian else digits, tf.int64)
    return integers(tf.ensure_shape(digits, [size]))


def integers(digits):
    """The integers of bytes `[..., bytes]`, the lowest first."""
    import tensorflow as tf

    shifts = 8 * tf.range(digits.shape[-1], dtype=tf.int64)
    return tf.reduce_sum(tf.bitwise.left_shift(digits, shifts), axis=-1)


def bits_of(number, at, count):
    """The integer of so many bits of a number, from bit `at` up."""
    import tensorflow as tf

    shifted = tf.bitwise.right_shift(number, tf.constant(at, tf.int64))
    return tf.bitwise.bitwise_and(shifted, (1 << count) - 1)


def count_bytes(data):
    """How many there are."""
    import tensorflow as tf

    return tf.cast(tf.strings.length(data), tf.int64)


def goes_on_as(content, wanted):
    """At which of the bytes `[N]` the wanted ones begin: bool `[N]`."""
    import tensorflow as tf

    found = [tf.roll(content, -at, 0) == byte for at, byte in enumerate(wanted)]
    return tf.reduce_all(found, axis=0)


def is_one_of(value, values):
    """Whether a value is among the known ones."""
    import tensorflow as tf

    return tf.reduce_any([value == known for known in values])


def unless_it_fails(operation, data, otherwise):
    """What an operation makes of the data: the `try` and `except` of a graph.

    A dataset can pass over its errors. The less is in it the better: it is built
    anew for each clip.

    Args:
        operation: A function of a tensor.
        data: The tensor.
        otherwise: What there is instead, if the operation fails.
    """
    import tensorflow as tf

    made = tf.data.Dataset.from_tensors(data).map(operation)
    made = made.ignore_errors(log_warning=False)
    made = made.concatenate(tf.data.Dataset.from_tensors(otherwise)).take(1)
    options = tf.data.Options()  # optimising takes longer than decoding
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    return made.with_options(options).get_single_element()
