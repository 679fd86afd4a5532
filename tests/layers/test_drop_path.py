import keras
import numpy as np
import pytest
from keras import ops

from keras_asit.layers.drop_path import DropPath
from layer_checks import check_layer


def drop(branch, rate, seed=1):
    return ops.convert_to_numpy(DropPath(rate, seed=seed)(branch, training=True))


def test_layer_properties():
    check_layer(
        DropPath,
        {"rate": 0.5, "seed": 1},
        input_shape=(4, 3, 5),
        expected_output_shape=(4, 3, 5),
        expected_num_seeds=1,
        call_kwargs={"training": True},
    )


def test_config_keeps_every_argument():
    layer = DropPath.from_config(DropPath(0.25, seed=7).get_config())
    assert (layer.rate, layer.seed) == (0.25, 7)


def test_a_sample_is_dropped_whole_or_scaled():
    branch = np.random.default_rng(0).normal(size=(64, 3, 5)).astype("float32")
    out = drop(branch, 0.2)
    dropped = np.all(out == 0, axis=(1, 2))
    assert 0 < dropped.sum() < 64
    np.testing.assert_allclose(out[~dropped], branch[~dropped] / 0.8, rtol=1e-6)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_share_of_dropped_samples(rate):
    samples = 20_000
    dropped = np.mean(drop(np.ones((samples, 1), "float32"), rate) == 0)
    four_deviations = 4 * np.sqrt(rate * (1 - rate) / samples)
    assert abs(dropped - rate) < four_deviations


def test_draws_follow_the_seed_and_go_on():
    branch = np.ones((64, 2), "float32")
    np.testing.assert_array_equal(drop(branch, 0.5), drop(branch, 0.5))
    assert np.any(drop(branch, 0.5) != drop(branch, 0.5, seed=2))
    layer = DropPath(0.5, seed=1)
    first, second = (
        ops.convert_to_numpy(layer(branch, training=True)) for _ in range(2)
    )
    assert np.any(first != second)


@pytest.mark.parametrize("rate, training", [(0.5, False), (0.0, True)])
def test_nothing_is_dropped(rate, training):
    branch = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    out = DropPath(rate, seed=1)(branch, training=training)
    np.testing.assert_array_equal(ops.convert_to_numpy(out), branch)


def test_rate_can_be_set():
    layer = DropPath(0.0, seed=1)
    layer.rate = 0.5
    branch = np.ones((64, 2), "float32")
    out = ops.convert_to_numpy(layer(branch, training=True))
    assert set(np.unique(out)) == {0.0, 2.0}
    assert layer.get_config()["rate"] == 0.5


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5])
def test_rate_outside_its_range(rate):
    with pytest.raises(ValueError, match=rf"\[0, 1\).*received {rate}"):
        DropPath(rate)
    layer = DropPath(0.1)
    with pytest.raises(ValueError, match=rf"received {rate}"):
        layer.rate = rate
    assert layer.rate == 0.1


@pytest.mark.filterwarnings("ignore:.*trainable weights")
def test_draws_inside_a_compiled_fit():
    model = keras.Sequential([DropPath(0.5, seed=1)])
    model.compile(loss="mse", metrics=[keras.metrics.MeanAbsoluteError(name="mae")])
    ones = np.ones((400, 1), "float32")
    history = model.fit(ones, np.zeros_like(ones), batch_size=400, verbose=0, epochs=2)
    means = history.history["mae"]
    # The mean of 400 draws of 0 or 2: 1 with a deviation of 0.05.
    assert np.allclose(means, 1.0, atol=0.2)
    assert means[0] != means[1]
