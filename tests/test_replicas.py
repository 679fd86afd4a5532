"""Without replicas; `tf.distribute` itself is tested in a process of its own."""

import keras
import numpy as np
from keras import ops

from keras_asit import replicas


def draws(generator, times=3):
    return [
        ops.convert_to_numpy(keras.random.normal((4,), seed=generator))
        for _ in range(times)
    ]


def test_one_replica():
    assert replicas.count() == 1
    x = ops.convert_to_tensor([1.0, 2.0])
    assert replicas.sum_over_replicas(x) is x


def test_draws_are_those_of_the_plain_generator():
    ours = draws(replicas.ReplicaSeedGenerator(5))
    plain = draws(keras.random.SeedGenerator(5))
    np.testing.assert_array_equal(ours, plain)
    assert not np.array_equal(ours[0], ours[1])
    assert not np.array_equal(ours, draws(replicas.ReplicaSeedGenerator(6)))


def test_without_a_seed_two_generators_differ():
    first, second = (draws(replicas.ReplicaSeedGenerator()) for _ in range(2))
    assert not np.array_equal(first, second)


def test_config_round_trip():
    config = keras.saving.serialize_keras_object(replicas.ReplicaSeedGenerator(5))
    revived = keras.saving.deserialize_keras_object(config)
    assert isinstance(revived, replicas.ReplicaSeedGenerator)
    expected = draws(keras.random.SeedGenerator(5))
    np.testing.assert_array_equal(draws(revived), expected)
