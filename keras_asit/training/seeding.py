"""What a seed fixes where Keras asks a global generator."""

import contextlib
import random


@contextlib.contextmanager
def seeded(seed):
    """Layers made in this context draw weights and seeds from `seed`.

    Initializers and `SeedGenerator` without a seed of their own ask Python's
    generator for one; it is afterwards as it was. `keras.utils.set_random_seed`
    would import TensorFlow on every backend, and leave its mark on the process.

    Args:
        seed: Integer.

    Example:

    >>> with seeded(7):
    ...     first = keras.random.SeedGenerator().seed
    >>> with seeded(7):
    ...     print(keras.random.SeedGenerator().seed == first)
    True
    """
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
