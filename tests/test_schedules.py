import math

import keras
import pytest
from keras import ops

from keras_asit.schedules import (
    StepDecay,
    WarmupCosine,
    cosine,
    linear_over_epochs,
)


@pytest.mark.parametrize(
    "step, expected",
    [
        (0, 0.996),
        (25, 1 - 0.002 * (1 + math.sqrt(0.5))),
        (50, 0.998),  # half way
        (100, 1.0),
        (1000, 1.0),  # and after
        (-5, 0.996),
    ],
)
def test_cosine_by_hand(step, expected):
    assert float(cosine(step, 0.996, 1.0, 100)) == pytest.approx(expected, abs=1e-7)


def test_cosine_of_tensors():
    as_tensors = [ops.convert_to_tensor(x) for x in (30, 0.04, 0.4, 90.0)]
    # cos(pi / 3) = 1 / 2: a quarter of the way.
    assert float(cosine(*as_tensors)) == pytest.approx(0.04 + 0.36 / 4, rel=1e-6)


def test_cosine_without_length():
    assert float(cosine(0, 1.0, 2.0, 0)) == 1.0
    assert float(cosine(1, 1.0, 2.0, 0)) == 2.0


@pytest.mark.parametrize(
    "epoch, warmup, epochs, expected",
    [
        (0, 30, 40, 0.04),
        (29, 30, 40, 0.07),  # the last epoch of the warm-up
        (30, 30, 40, 0.07),
        (39, 30, 40, 0.07),
        (1, 4, 10, 0.05),
        (0, 30, 3, 0.04),  # the warm-up is clipped to the run
        (1, 30, 3, 0.055),
        (2, 30, 3, 0.07),
        (0, 30, 1, 0.04),  # a run of one epoch
        (0, 0, 5, 0.07),  # no warm-up
        (0, 1, 5, 0.04),
        (1, 1, 5, 0.07),
    ],
)
def test_linear_over_epochs_by_hand(epoch, warmup, epochs, expected):
    value = linear_over_epochs(epoch, 0.04, 0.07, warmup, epochs)
    assert value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    "step, expected",
    [
        (0, 0.0),
        (1, 1e-4),
        (5, 5e-4),
        (10, 1e-3),  # the peak
        (20, 1e-6 + (1e-3 - 1e-6) * 0.75),  # cos(pi / 3) = 1 / 2
        (25, (1e-3 + 1e-6) / 2),
        (40, 1e-6),
        (100, 1e-6),
    ],
)
def test_warmup_cosine_by_hand(step, expected):
    rate = WarmupCosine(1e-3, 1e-6, steps=40, warmup_steps=10)
    assert float(rate(step)) == pytest.approx(expected, rel=1e-5, abs=1e-9)


def test_warmup_cosine_without_warmup():
    decay = WarmupCosine(0.04, 0.4, steps=10)
    values = [float(decay(step)) for step in (0, 5, 10)]
    assert values == pytest.approx([0.04, 0.22, 0.4], rel=1e-6)


def test_warmup_cosine_of_an_integer_variable():
    """As an optimiser calls it: with its counter of steps."""
    step = keras.Variable(5, dtype="int32", trainable=False)
    value = WarmupCosine(1e-3, 0.0, steps=40, warmup_steps=10)(step)
    assert float(value) == pytest.approx(5e-4, rel=1e-6)


def test_a_run_that_is_all_warmup():
    rate = WarmupCosine(1.0, 0.0, steps=4, warmup_steps=4)
    values = [float(rate(step)) for step in range(6)]
    assert values == pytest.approx([0, 0.25, 0.5, 0.75, 1, 0], abs=1e-7)


def test_config_round_trip():
    rate = WarmupCosine(1e-3, 1e-6, steps=40, warmup_steps=10)
    config = keras.saving.serialize_keras_object(rate)
    revived = keras.saving.deserialize_keras_object(config)
    assert isinstance(revived, WarmupCosine)
    assert revived.get_config() == rate.get_config()


@pytest.mark.parametrize("warmup_steps", [-1, 11])
def test_warmup_that_does_not_fit(warmup_steps):
    with pytest.raises(ValueError, match=f"warmup_steps={warmup_steps}, steps=10"):
        WarmupCosine(1.0, 0.0, steps=10, warmup_steps=warmup_steps)


def test_step_decay_by_hand():
    """AST's Speech Commands: 2.5e-4, x 0.85 from the fifth epoch on, of 10 steps."""
    rate = StepDecay(2.5e-4, 0.85, first=50, every=10, warmup_steps=20)
    expected = {0: 0.0, 10: 1.25e-4, 20: 2.5e-4, 49: 2.5e-4, 50: 2.5e-4 * 0.85}
    expected |= {59: 2.5e-4 * 0.85, 60: 2.5e-4 * 0.85**2, 99: 2.5e-4 * 0.85**5}
    for step, value in expected.items():
        assert float(rate(step)) == pytest.approx(value, rel=1e-5), step
    revived = StepDecay.from_config(rate.get_config())
    assert float(revived(60)) == float(rate(60))


@pytest.mark.parametrize(
    "wrong", [{"factor": 0}, {"factor": 2}, {"first": -1}, {"every": 0}]
)
def test_step_decay_out_of_range(wrong):
    with pytest.raises(ValueError, match="Expected 0 < factor <= 1, first >= 0"):
        StepDecay(**{"start": 1.0, "factor": 0.5, "first": 1, "every": 1, **wrong})
