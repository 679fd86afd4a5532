import keras
import numpy as np
import pytest
import soundfile

from keras_asit import training
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
    """The teacher's momentum at the start and the end of its curve, by epoch."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_begin(self, batch, logs=None):
        model = self.model
        curve = (model.momentum_start, model.momentum_end, model.momentum_steps)
        self.seen.append(tuple(float(weight) for weight in curve))


def pretrain(paths, budget, **options):
    keras.utils.set_random_seed(0)
    return training.pretrain(
        MODEL.backbone(MODEL.frontend(mean=-8.0, std=4.0)),
        paths,
        crop_seconds=SECONDS,
        budget=budget,
        batch_size=2,
        **TINY_HEADS,
        **options,
    )


def test_a_run_trains_student_and_teacher(paths):
    start = MODEL.backbone(MODEL.frontend())
    pretrainer, history = pretrain(paths, training.Budget(1e-3, steps=5))
    assert int(pretrainer.steps_done) == 5
    parts = {"loss", "reconstruction_loss", "local_loss", "global_loss"}
    assert set(history) == parts
    assert {len(values_by_epoch) for values_by_epoch in history.values()} == {2}
    assert np.isfinite(list(history.values())).all()
    for backbone in (pretrainer.student, pretrainer.teacher):
        changed = zip(values(backbone.weights), values(start.weights), strict=True)
        assert any(not np.array_equal(new, old) for new, old in changed)


def test_a_run_of_steps_can_be_repeated(paths):
    runs = [pretrain(paths, training.Budget(1e-3, steps=4), seed=5) for _ in range(2)]
    (first, history), (again, history_again) = runs
    assert history == history_again
    for one, other in zip(values(first.weights), values(again.weights), strict=True):
        np.testing.assert_array_equal(one, other)


def test_momentum_follows_the_steps(paths):
    momentum = Momentum()
    budget = training.Budget(1e-3, steps=4)
    pretrain(paths, budget, momentum=0.9, callbacks=[momentum])
    np.testing.assert_allclose(momentum.seen, [(0.9, 1.0, 4.0)] * 4, rtol=1e-6)


def test_momentum_follows_the_minutes(paths, monkeypatch):
    """Three steps an epoch; after the first step, each spends a tenth."""

    class Clock:
        def monotonic(self):
            return 6.0 * max(1, len(momentum.seen))

    monkeypatch.setattr("keras_asit.training.budget.time", Clock())
    momentum = Momentum()
    budget = training.Budget(1e-3, minutes=1.0)
    pretrainer, _ = pretrain(paths, budget, momentum=0.8, callbacks=[momentum])
    starts, ends, _ = np.transpose(momentum.seen)
    np.testing.assert_array_equal(starts, ends)
    assert len(starts) == 11
    spent = np.array([0.0] * 3 + [0.2] * 3 + [0.5] * 3 + [0.8] * 2)
    expected = 1.0 - 0.1 * (1.0 + np.cos(np.pi * spent))
    np.testing.assert_allclose(starts, expected, atol=1e-6)
    for teacher, student in pretrainer._pairs:
        teacher, student = values([teacher, student])
        assert np.any(teacher) or not np.any(student)
