import dataclasses
import importlib
import json
import re

import keras
import numpy as np
import pytest
import soundfile

from keras_asit import data, evaluation, training
from keras_asit.models import ASiTClassifier
from keras_asit.training import Protocol
from tiny_asit import values

fine_tune_module = importlib.import_module("keras_asit.training.fine_tune")

RATE = 8000
MODEL = training.SmallModel(
    RATE, 0.4, num_frames=32, num_mel_bins=32, hidden_dim=16, num_layers=1
)
SHORT = Protocol(
    epochs=2, batch_size=4, seconds=0.4, learning_rate=1e-2, schedule="step"
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Twelve clips of 0.4 s: low, middle and high tones."""
    folder = tmp_path_factory.mktemp("tones")
    for i in range(12):
        name = ("high", "low", "middle")[i % 3]
        pitch = {"low": 200, "middle": 700, "high": 2000}[name]
        noise = 0.01 * np.random.default_rng(i).normal(size=3200)
        (folder / name).mkdir(exist_ok=True)
        wave = 0.3 * np.sin(2 * np.pi * pitch * np.arange(3200) / RATE) + noise
        soundfile.write(folder / name / f"{i}.wav", wave, RATE)
    return data.read_manifest(folder)


@pytest.fixture(scope="module")
def backbone():
    with training.seeded(0):
        return MODEL.backbone(MODEL.frontend(mean=-8.0, std=4.0))


def run(backbone, clips, protocol, **options):
    return training.fine_tune(backbone, clips, clips, protocol, **options)


def test_it_learns_tones_and_leaves_the_backbone_alone(backbone, clips):
    before = values(backbone.weights)
    result = run(backbone, clips, SHORT.replace(epochs=20))
    assert result.score == 1.0
    assert result.epoch == 20
    assert result.scores.shape == (12, 3)
    np.testing.assert_allclose(result.scores.sum(axis=1), 1, rtol=1e-5)
    assert result.score == evaluation.accuracy(result.targets, result.scores)
    for a, b in zip(before, values(backbone.weights), strict=True):
        np.testing.assert_array_equal(a, b)


def test_multi_label_protocol(backbone, clips):
    protocol = SHORT.replace(
        loss="binary_cross_entropy", metric="mean_average_precision", mixup=0.5
    )
    result = run(backbone, clips, protocol)
    assert result.targets.shape == (12, 3)
    expected = evaluation.mean_average_precision(result.targets, result.scores)
    assert result.score == expected


def test_average_of_epochs_is_the_mean_of_their_weights(backbone, clips, tmp_path):
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(
            values(watch.model.trainable_variables)
        )
    )
    protocol = SHORT.replace(epochs=3, average_epochs=(2, 3))
    result = run(backbone, clips, protocol, callbacks=[watch])
    assert result.epoch is None
    trained = values(result.classifier.trainable_variables)
    for second, third, mean in zip(seen[1], seen[2], trained, strict=True):
        np.testing.assert_allclose(mean, (second + third) / 2, rtol=1e-5, atol=1e-7)


def test_best_epoch_is_the_first_of_equals(backbone, clips, tmp_path):
    scores = iter([0.5, 0.75, 0.75, 0.25])
    saved = {}

    class Scored(training.BestEpoch):
        def after_epoch(self, number):
            saved[number] = values(self.model.trainable_variables)
            super().after_epoch(number)

    best = Scored(lambda model: next(scores), tmp_path, steps=3)
    result = run(backbone, clips, SHORT.replace(epochs=4), callbacks=[best])
    assert best.best == 2
    assert json.loads((tmp_path / "epochs.json").read_text())["3"] == 0.75
    assert [file.name for file in tmp_path.glob("*.npz")] == ["best-2.npz"]
    trained = values(result.classifier.trainable_variables)
    assert any(np.any(a != b) for a, b in zip(trained, saved[2], strict=True))
    best.apply(result.classifier)
    for ours, theirs in zip(
        values(result.classifier.trainable_variables), saved[2], strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("selection", ["last", "validation", "ast_published"])
def test_selection_looks_at_the_clips_of_its_name(
    backbone, clips, monkeypatch, selection
):
    """Each epoch scores 0.1 less on validation clips, 0.1 more on those of the test."""
    parts = [clips.take(np.arange(first, 12, 3)) for first in range(3)]
    train, validation, test = clips, parts[1], parts[2]
    looked_at = []

    def scored(classifier, seen, **_):
        name = {id(validation): "validation", id(test): "test"}[id(seen)]
        looked_at.append(name)
        rights = {"validation": 4 - len(looked_at), "test": len(looked_at)}[name]
        targets = seen.targets(classifier.class_names)
        wrong = (targets + 1) % 3
        predicted = np.where(np.arange(len(seen)) < rights, targets, wrong)
        return np.eye(3)[predicted], np.arange(len(seen))

    monkeypatch.setattr(fine_tune_module, "clip_probabilities", scored)
    protocol = SHORT.replace(epochs=3, selection=selection)
    result = training.fine_tune(backbone, train, test, protocol, validation=validation)
    expected = {
        "last": (["test"], 3),
        "validation": (["validation"] * 3 + ["test"], 1),
        "ast_published": (["test"] * 4, 3),
    }
    assert (looked_at, result.epoch) == expected[selection]


def test_validation_clips_are_asked_for(backbone, clips):
    with pytest.raises(ValueError, match="selects the epoch on validation clips"):
        run(backbone, clips, SHORT.replace(selection="validation"))


@pytest.mark.parametrize(
    "options",
    [
        {"average_epochs": (1, 4), "drop_path": 0.3, "mixup": 0.5},
        pytest.param(
            {"selection": "ast_published", "resize_time": (0.5, 1.0)},
            marks=pytest.mark.large,
        ),
    ],
)
def test_an_interrupted_run_goes_on_to_the_bit(backbone, clips, tmp_path, options):
    """Killed in the third of four epochs; averages and selections count once."""

    class Killed(Exception):
        pass

    class Kill(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if int(self.model.optimizer.iterations) == 8:
                raise Killed

    protocol = SHORT.replace(epochs=4, **options)
    whole = run(backbone, clips, protocol)
    with pytest.raises(Killed):
        run(
            backbone, clips, protocol, folder=tmp_path, save_every=2, callbacks=[Kill()]
        )
    again = run(backbone, clips, protocol, folder=tmp_path, save_every=2)
    finished = run(backbone, clips, protocol, folder=tmp_path, save_every=2)
    assert finished.epoch == again.epoch
    for a, b in zip(
        values(again.classifier.trainable_variables),
        values(finished.classifier.trainable_variables),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    assert again.score == whole.score
    assert again.epoch == whole.epoch
    for a, b in zip(
        values(whole.classifier.trainable_variables),
        values(again.classifier.trainable_variables),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_adapted_interpolates_and_takes_constants(backbone, caplog):
    protocol = SHORT.replace(seconds=0.8, num_frames=64, mean=-1.0, std=2.0)
    with caplog.at_level("INFO"):
        longer = training.adapted(backbone, protocol)
    assert longer.num_frames == 64
    assert (longer.frontend.mean, longer.frontend.std) == (-1.0, 2.0)
    assert re.search(r"2 x 2 .*4 x 2", caplog.text)
    assert backbone.frontend.mean == -8.0
    with pytest.raises(ValueError, match="rest would never be seen"):
        training.adapted(backbone, SHORT.replace(seconds=3.0))


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"schedule": "linear"}, r"schedule is one of \['cosine', 'step'\]"),
        ({"loss": "mse"}, "loss is one of"),
        ({"epochs": 0}, "epochs is a whole number of 1 or more"),
        ({"batch_size": 0}, "batch_size is a whole number of 1 or more"),
        ({"seconds": 0}, "seconds is more than 0"),
        ({"mean": -4.0}, "mean and std come together"),
        ({"average_epochs": (1, 3)}, "average_epochs is"),
        ({"pooling": "x"}, r"pooling is one of \['cls'"),
        ({"mixup": 3}, r"mixup is in \[0, 1\]; received 3"),
        ({"drop_path": 2}, r"drop_path is in \[0, 1\)"),
        ({"betas": (2,)}, "betas is two numbers"),
        ({"layer_decay": -1}, r"layer_decay is in \(0, 1\]"),
        ({"decay_every": 0}, "decay_every is a whole number of 1 or more"),
        ({"epochs": float("nan")}, "epochs is a whole number"),
        ({"resize_time": (2, 1)}, r"resize_time is \(low, high\)"),
        (
            {"average_epochs": (1, 2), "selection": "validation"},
            "Either weights are averaged over epochs or one epoch is selected",
        ),
    ],
)
def test_protocols_that_make_no_sense(changes, message):
    with pytest.raises(ValueError, match=message):
        SHORT.replace(**changes)


def test_a_warmup_longer_than_the_run_is_refused():
    with pytest.raises(ValueError, match="warm-up of 1000 steps is longer"):
        SHORT.replace(warmup_steps=1000).optimizer(num_clips=12)


def test_a_missing_average_is_not_made_up(backbone, clips, tmp_path):
    average = training.AverageEpochs(1, 3, tmp_path / "average.npz", steps=3)
    average.set_model(None)
    with pytest.raises(ValueError, match="no such file"):
        average.apply(None)


def test_a_seed_fixes_all_that_is_random(backbone, clips):
    """Stochastic depth, mixup, crops and augmentation; another seed, other weights."""
    protocol = SHORT.replace(drop_path=0.3, mixup=0.5, resize_time=(0.5, 1.0))
    once, again, other = (
        values(run(backbone, clips, protocol, seed=seed).classifier.trainable_weights)
        for seed in (3, 3, 4)
    )
    for a, b in zip(once, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(np.any(a != b) for a, b in zip(once, other, strict=True))


def trained_parts(classifier):
    """How many variables of the backbone and of the head are trained."""
    trained = {variable.path for variable in classifier.trainable_variables}
    return [
        len(trained & {variable.path for variable in part.weights})
        for part in (classifier.backbone, classifier.head)
    ]


def head_width(classifier):
    return classifier.head.kernel.shape[0]


def loss_of_a_clip(classifier):
    """That of logits 2, 0, 0 where the first class is right."""
    logits = keras.ops.convert_to_tensor([[2.0, 0.0, 0.0]])
    target = keras.ops.convert_to_tensor([[1.0, 0.0, 0.0]])
    return float(classifier.compute_loss(y=target, y_pred=logits))


def first_moves(classifier):
    """How far gradients of 1 move the patch embedding, the block and the head."""
    names = ("patch_embedding/class_token", "block_0/expand/kernel", "head/kernel")
    seen = [v for v in classifier.trainable_variables if v.path in names]
    before = values(seen)
    classifier.optimizer.apply([keras.ops.ones(v.shape) for v in seen], seen)
    return [
        float(np.abs(a - b).mean()) for a, b in zip(before, values(seen), strict=True)
    ]


PLAIN = {"weight_decay": 0.0, "clip_norm": None}
BINARY = {"loss": "binary_cross_entropy", "metric": "mean_average_precision"}


@pytest.mark.parametrize(
    "options, seen, expected",
    [
        ({"freeze_backbone": True}, trained_parts, [0, 2]),
        ({"pooling": "cls+mean"}, head_width, 32),
        ({"label_smoothing": 0.3}, loss_of_a_clip, np.log(np.exp(2) + 2) - 1.6),
        (
            {"label_smoothing": 0.3, **BINARY},
            loss_of_a_clip,
            (np.log1p(np.exp(2)) - 1.7 + 2 * np.log(2)) / 3,
        ),
        ({"layer_decay": 0.5, **PLAIN}, first_moves, [0.0025, 0.005, 0.01]),
    ],
)
def test_options_reach_what_is_trained(
    backbone, clips, monkeypatch, options, seen, expected
):
    """Looked at where `fit` would begin."""

    class Begun(Exception):
        pass

    def fit(classifier, *_, **__):
        raise Begun(classifier)

    monkeypatch.setattr(ASiTClassifier, "fit", fit)
    with pytest.raises(Begun) as begun:
        run(backbone, clips, SHORT.replace(**options))
    [classifier] = begun.value.args
    assert seen(classifier) == pytest.approx(expected, rel=1e-4)


def test_protocol_to_optimiser():
    ast = Protocol(
        epochs=25,
        batch_size=12,
        learning_rate=5e-5,
        schedule="step",
        decay_factor=0.5,
        decay_after=10,
        decay_every=5,
        warmup_steps=1000,
        betas=(0.95, 0.999),
        weight_decay=0.0,
        l2=5e-7,
        clip_norm=None,
    )
    optimizer = ast.optimizer(num_clips=22_160)
    per_epoch = 22_160 // 12
    rate = optimizer._learning_rate
    assert float(rate(500)) == pytest.approx(2.5e-5)
    for epoch, expected in [(9, 5e-5), (10, 2.5e-5), (14, 2.5e-5), (15, 1.25e-5)]:
        assert float(rate(epoch * per_epoch + 5)) == pytest.approx(expected)
    assert (optimizer.beta_1, optimizer.l2) == (0.95, 5e-7)
    assert optimizer.global_clipnorm is None
    assert ast.steps(22_160) == 25 * per_epoch
    assert dataclasses.asdict(ast) == ast.as_dict()
