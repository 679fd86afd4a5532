"""What a seed fixes where Keras asks a global generator."""

import contextlib
import random


@contextlib.contextmanager
def seeded(seed):
    """Layers made in this context draw weights and seeds from `seed`.

    Initializers and `SeedGenerator` without a seed of their own ask Python's
    generator for one; it is afterwards as it was, which `keras.utils.set_random_seed`
    would not leave it.

    Args:
        seed: Integer.

    Example:

    >>> with seeded(7):
    ...     first = keras.initializers.RandomNormal()((3,))
    >>> with seeded(7):
    ...     again = keras.initializers.RandomNormal()((3,))
    >>> bool(keras.ops.all(first == again))
    True
    """
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
