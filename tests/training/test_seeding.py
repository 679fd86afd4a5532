import random

import keras
import numpy as np

from keras_asit.training import seeded


def drawn(seed):
    """A weight and a seed, as a new layer draws them."""
    with seeded(seed):
        kernel = keras.initializers.GlorotUniform()((3, 4))
        state = keras.random.SeedGenerator().state
    return keras.ops.convert_to_numpy(kernel), keras.ops.convert_to_numpy(state)[0]


def test_the_seed_fixes_weights_and_seeds():
    (kernel, seed), (again, seed_again) = drawn(5), drawn(5)
    np.testing.assert_array_equal(kernel, again)
    assert seed == seed_again
    other, other_seed = drawn(6)
    assert not np.array_equal(kernel, other)
    assert seed != other_seed


def test_the_global_generator_goes_on_as_it_was():
    random.seed(3)
    expected = [random.random() for _ in range(2)]
    random.seed(3)
    first = random.random()
    drawn(5)
    assert [first, random.random()] == expected
