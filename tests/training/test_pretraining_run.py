import types
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile

from keras_asit import training
from keras_asit.models import ASiTPretrainer
from keras_asit.training import pretraining
from tiny_asit import TINY_HEADS, values

RATE, SECONDS = 8000, 0.4
MODEL = training.SmallModel(
    RATE, SECONDS, num_frames=32, num_mel_bins=32, hidden_dim=16, num_layers=1
)


@pytest.fixture
def paths(tmp_path):
    written = []
    for i in range(6):
        wave = np.random.default_rng(i).uniform(-0.5, 0.5, 4000)
        soundfile.write(tmp_path / f"{i}.wav", wave, RATE)
        written.append(str(tmp_path / f"{i}.wav"))
    return written


class Momentum(keras.callbacks.Callback):
    """The teacher's curve at every step: momentum at its start and end, length."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_begin(self, batch, logs=None):
        model = self.model
        curve = (model.momentum_start, model.momentum_end, model.momentum_steps)
        self.seen.append(tuple(float(weight) for weight in curve))


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def pretrain(paths, budget, **options):
    with training.seeded(0):
        backbone = MODEL.backbone(MODEL.frontend(mean=-8.0, std=4.0))
    return training.pretrain(
        backbone,
        paths,
        crop_seconds=SECONDS,
        budget=budget,
        **{"batch_size": 2, **TINY_HEADS, **options},
    )


def test_a_run_of_steps(paths):
    """It trains student and teacher, and can be repeated to the bit."""
    momentum, budget = Momentum(), training.Budget(1e-3, steps=5)
    runs = [
        pretrain(paths, budget, seed=5, momentum=0.9, callbacks=[momentum])
        for _ in range(2)
    ]
    (pretrainer, history), (again, history_again) = runs
    assert int(pretrainer.steps_done) == 5
    parts = {"loss", "reconstruction_loss", "local_loss", "global_loss"}
    assert parts <= set(history)
    assert {len(by_epoch) for by_epoch in history.values()} == {2}
    assert np.isfinite(list(history.values())).all()
    np.testing.assert_allclose(momentum.seen, [(0.9, 1.0, 5.0)] * 10, rtol=1e-6)
    with training.seeded(0):
        start = values(MODEL.backbone(MODEL.frontend()).weights)
    for backbone in (pretrainer.student, pretrainer.teacher):
        assert not same(values(backbone.weights), start)
    for by_clock in ("doctor/clips_per_second", "doctor/data_wait"):
        assert len(history.pop(by_clock)) == len(history_again.pop(by_clock)) == 2
    assert history == history_again
    assert same(values(pretrainer.weights), values(again.weights))


@pytest.fixture
def given_to_fit(monkeypatch):
    """The views that `fit` got; nothing is trained."""
    given = []

    def fit(model, views, **options):
        given.append(views)
        return types.SimpleNamespace(history={})

    monkeypatch.setattr(ASiTPretrainer, "fit", fit)
    return given


def test_a_manifest_by_its_path(paths, tmp_path, given_to_fit):
    """A batch has no more clips than there are, not than the path has letters."""
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("path\n" + "".join(f"{i}.wav\n" for i in range(len(paths))))
    pretrain(str(manifest), training.Budget(1e-3, steps=1), batch_size=32)
    [views] = given_to_fit
    assert len(views) == 1
    assert next(iter(views)).shape[0] == len(paths)


@pytest.mark.large_on_jax
def test_a_broken_clip_is_named_though_the_epoch_is_not_finished(paths):
    """One step of a pass of forty; clips are read ahead of it."""
    Path(paths[0]).write_text("not audio")
    paths = [*paths, *paths[1:] * 7]
    one_loss = {"local_weight": 0.0, "global_weight": 0.0}
    with pytest.warns(UserWarning, match="1 of 41 clips could not be read"):
        budget = training.Budget(1e-3, steps=39)
        pretrain(paths, budget, batch_size=1, **one_loss)


@pytest.mark.large_on_jax
def test_the_rate_follows_the_budget_within_a_long_pass(paths, monkeypatch, recwarn):
    """A pass of six steps, in epochs of two: a run of five steps is warm after two."""
    monkeypatch.setattr("keras_asit.training.pretraining.EPOCH_STEPS", 2)
    seen = []
    rate = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: (
            seen.append(float(rate.model.optimizer.learning_rate)) if not batch else ()
        )
    )
    one_loss = {"local_weight": 0.0, "global_weight": 0.0}
    budget = training.Budget(1e-3, steps=5)
    pretrainer, history = pretrain(
        paths, budget, batch_size=1, callbacks=[rate], **one_loss
    )
    assert int(pretrainer.steps_done) == 5
    assert len(history["loss"]) == 3
    np.testing.assert_allclose(seen, [budget.rate(n / 5) for n in (0, 2, 4)], rtol=1e-6)
    assert not [w for w in recwarn if "ran out of data" in str(w.message)]


@pytest.mark.parametrize(
    ("profile", "of_all", "of_each"), [("paper", 3.0, None), ("reference", None, 3.0)]
)
def test_gradients_are_clipped_as_the_profile_does(
    paths, profile, of_all, of_each, given_to_fit
):
    """Row 17 of the specification."""
    pretrainer, _ = pretrain(paths, training.Budget(1e-3, steps=1), profile=profile)
    assert pretrainer.optimizer.global_clipnorm == of_all
    assert pretrainer.optimizer.clipnorm == of_each


@pytest.mark.large_on_jax
def test_weight_decay_and_temperature_rise(paths, monkeypatch):
    """Rows 13 and 16 of the specification; passes of six, epochs of four and two."""
    monkeypatch.setattr(pretraining, "EPOCH_STEPS", 4)
    seen = []
    look = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: seen.append(float(look.model.teacher_temperature))
    )
    options = {"final_weight_decay": 0.4, "final_teacher_temperature": 0.07}
    options |= {"local_weight": 0.0, "global_weight": 0.0}  # less to compile
    budget = training.Budget(1e-3, steps=8)
    model, _ = pretrain(paths, budget, batch_size=1, callbacks=[look], **options)
    np.testing.assert_allclose(seen, [0.04, 0.055, 0.07], rtol=1e-6)
    decays = [float(model.optimizer.weight_decay(step)) for step in (0, 4, 8)]
    np.testing.assert_allclose(decays, [0.04, 0.22, 0.4], rtol=1e-6)


def test_the_temperature_rises_in_its_own_time(monkeypatch):
    """A run of eight steps: passes of six are epochs of four and two."""
    monkeypatch.setattr(pretraining, "EPOCH_STEPS", 4)
    for steps, of_pass, epochs in ((6, 6, 2), (None, 6, 3), (100, 6, 3), (6, 3, 2)):
        assert pretraining._epochs(steps, 8, of_pass) == epochs


def test_what_rises_needs_steps(paths):
    budget = training.Budget(1e-3, minutes=1.0)
    for final in ("final_weight_decay", "final_teacher_temperature"):
        with pytest.raises(ValueError, match="Expected a budget of steps for a weight"):
            pretrain(paths, budget, **{final: 0.1})


@pytest.mark.large_on_jax
def test_momentum_follows_the_minutes(paths, monkeypatch):
    """Three steps an epoch; after the first step, each spends a tenth."""

    class Clock:
        def monotonic(self):
            return 6.0 * max(1, len(momentum.seen))

    monkeypatch.setattr("keras_asit.training.budget.time", Clock())
    momentum = Momentum()
    budget = training.Budget(1e-3, minutes=1.0)
    one_loss = {"reconstruction_weight": 0.0, "local_weight": 0.0}  # less to compile
    pretrainer, _ = pretrain(
        paths, budget, momentum=0.8, callbacks=[momentum], **one_loss
    )
    starts, ends, _ = np.transpose(momentum.seen)
    np.testing.assert_array_equal(starts, ends)
    assert len(starts) == 11
    spent = np.array([0.0] * 3 + [0.2] * 3 + [0.5] * 3 + [0.8] * 2)
    expected = 1.0 - 0.1 * (1.0 + np.cos(np.pi * spent))
    np.testing.assert_allclose(starts, expected, atol=1e-6)
    with training.seeded(0):
        start = values(MODEL.backbone(MODEL.frontend()).weights)
    assert not same(values(pretrainer.teacher.weights), start), "it learns nothing"


class Killed(Exception):
    pass


class Kill(keras.callbacks.Callback):
    """As a job that ends after some steps."""

    def on_train_batch_end(self, batch, logs=None):
        if int(self.model.optimizer.iterations) == 4:
            raise Killed


@pytest.mark.large_on_jax
def test_an_interrupted_run_goes_on_to_the_bit(paths, tmp_path):
    """Killed in the second of three epochs, within it, as the first run would go on."""

    rises = {"final_weight_decay": 0.4, "final_teacher_temperature": 0.07}

    def run(**options):
        return pretrain(paths, training.Budget(1e-3, steps=8), **rises, **options)[0]

    whole, kept = run(), {"folder": tmp_path / "run", "save_every": 2}
    with pytest.raises(Killed):
        run(**kept, callbacks=[Kill()])
    again = run(**kept)
    finished = run(**kept)
    for one in (again, finished):
        assert int(one.steps_done) == 8
        assert same(values(whole.weights), values(one.weights))


def test_a_run_of_minutes_cannot_be_resumed(paths, tmp_path):
    with pytest.raises(ValueError, match=r"budget of steps .* received minutes=2"):
        pretrain(paths, training.Budget(1e-3, minutes=2.0), folder=tmp_path)
