import math

import keras
import numpy as np
import pytest

from keras_asit.training import Budget


class Slope(keras.layers.Layer):
    """A weight whose gradient is 1: each step of SGD lowers it by the rate."""

    def build(self, input_shape):
        self.height = self.add_weight(name="height", shape=(), initializer="zeros")

    def call(self, inputs):
        return inputs * 0.0 + self.height


def slope_model(optimizer=None):
    inputs = keras.Input((1,))
    model = keras.Model(inputs, Slope()(inputs))
    model.compile(optimizer or keras.optimizers.SGD(1e9), lambda _, y: y)
    return model


def fit(model, *callbacks, batches=2, epochs=100):
    ones = np.ones((batches, 1), "float32")
    options = {"batch_size": 1, "epochs": epochs, "verbose": 0}
    return model.fit(ones, ones, callbacks=list(callbacks), **options)


class Heights(keras.callbacks.Callback):
    """The slope's weight at the end of every epoch."""

    def __init__(self):
        super().__init__()
        self.values = [0.0]

    def on_epoch_end(self, epoch, logs=None):
        self.values.append(float(self.model.weights[0]))


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""

    class Clock:
        seconds = 100.0

        def monotonic(self):
            return self.seconds

    clock = Clock()
    monkeypatch.setattr("keras_asit.training.budget.time", clock)
    return clock


def test_rate_is_a_warm_up_then_a_cosine():
    budget = Budget(2.0, steps=10, warmup=0.2, final=1.0)
    assert budget.rate(0.0) == pytest.approx(0.1)  # 0.05 of the peak, not 0
    assert budget.rate(0.05) == pytest.approx(0.5)
    assert budget.rate(0.1) == pytest.approx(1.0)
    assert budget.rate(0.2) == pytest.approx(2.0)
    assert budget.rate(0.4) == pytest.approx(1.5 + 0.5 * math.cos(math.pi / 4))
    assert budget.rate(0.6) == pytest.approx(1.5)
    assert budget.rate(1.0) == pytest.approx(1.0)


def test_rate_without_warm_up_begins_at_the_peak():
    assert Budget(2.0, steps=1, warmup=0.0).rate(0.0) == pytest.approx(2.0)


def test_steps_end_the_run_within_an_epoch():
    model, budget = slope_model(), Budget(0.1, steps=5)
    history = fit(model, budget, batches=2)
    assert int(model.optimizer.iterations) == budget.steps_done == 5
    assert len(history.epoch) == 3
    assert budget.spent == 1.0


def test_minutes_end_the_run(clock):
    class Tick(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            clock.seconds += 10.0

    model, budget = slope_model(), Budget(0.1, minutes=0.5)
    fit(model, Tick(), budget)
    # The first step compiles and does not count; 30 s are three more.
    assert budget.steps_done == 4
    assert budget.spent == 1.0


def test_the_first_budget_spent_ends_the_run(clock):
    budget = Budget(0.1, minutes=1000.0, steps=3)
    fit(slope_model(), budget)
    assert budget.steps_done == 3


def test_a_budget_can_be_used_again():
    model, budget = slope_model(), Budget(0.1, steps=3)
    fit(model, budget)
    fit(model, budget)
    assert int(model.optimizer.iterations) == 6


def test_every_epoch_trains_at_its_own_rate():
    model, heights = slope_model(), Heights()
    budget = Budget(1.0, steps=8, warmup=0.25, final=0.0)
    fit(model, budget, heights, batches=2)
    rates = [budget.rate(spent) for spent in (0.0, 0.25, 0.5, 0.75)]
    np.testing.assert_allclose(-np.diff(heights.values), np.multiply(2, rates), 1e-5)


def test_a_schedule_of_the_optimizer_is_left_alone():
    schedule = keras.optimizers.schedules.PolynomialDecay(0.5, 4, 0.0)
    model = slope_model(keras.optimizers.SGD(schedule))
    fit(model, Budget(1.0, steps=4, schedule=False))
    expected = 0.5 * (1 + 0.75 + 0.5 + 0.25)
    assert float(model.weights[0]) == pytest.approx(-expected)


def test_progress_bar_shows_the_share_and_the_logs(capsys):
    fit(slope_model(), Budget(0.1, steps=4, label="warming up"))
    bar = capsys.readouterr().err
    assert "warming up" in bar
    assert "100 %" in bar
    assert "loss=" in bar


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"steps": 0},
        {"steps": -5},
        {"minutes": 0.0},
        {"minutes": -1.0},
        {"minutes": math.inf},
        {"minutes": math.nan},
        {"minutes": 1.0, "steps": 0},
        {"steps": 1, "warmup": 1.0},
    ],
)
def test_wrong_arguments(arguments):
    with pytest.raises(ValueError, match="Expected"):
        Budget(1.0, **arguments)
