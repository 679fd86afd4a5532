import keras
import numpy as np
import pytest
import soundfile

from keras_asit import data, models, training
from tiny_asit import values

RATE, SECONDS, STEPS = 8000, 0.4, 40
MODEL = training.SmallModel(
    RATE, SECONDS, num_frames=32, num_mel_bins=32, hidden_dim=16, num_layers=1
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Nine clips of 0.3 or 0.7 s: low, middle and high tones."""
    folder = tmp_path_factory.mktemp("tones")
    for i in range(9):
        name = ("high", "low", "middle")[i % 3]
        pitch = {"low": 200, "middle": 700, "high": 2000}[name]
        time = np.arange(5600 if i % 2 else 2400) / RATE
        noise = 0.01 * np.random.default_rng(i).normal(size=len(time))
        (folder / name).mkdir(exist_ok=True)
        wave = 0.3 * np.sin(2 * np.pi * pitch * time) + noise
        soundfile.write(folder / name / f"{i}.wav", wave, RATE)
    return data.read_manifest(folder)


def new_backbone(seed=0):
    with training.seeded(seed):
        return MODEL.backbone(MODEL.frontend(mean=-8.0, std=4.0))


@pytest.fixture(scope="module")
def tuning(clips):
    """One for all tests, as it is made to be used again; it compiles once."""
    return training.FineTuning(
        new_backbone(),
        clips.class_names,
        crop_seconds=SECONDS,
        steps=STEPS,
        batch_size=4,
        learning_rate=1e-2,
    )


def trained(tuning, clips, *arguments, **options):
    """The weights and the losses after a run."""
    classifier, history = tuning.run(clips, *arguments, **options)
    return values(classifier.weights), history["loss"]


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.large
def test_runs_with_the_same_seed_and_weights_are_equal_to_the_bit(tuning, clips):
    weights = new_backbone(seed=7)
    before = values(weights.weights)
    given, losses = trained(tuning, clips, weights, seed=3)
    scratch, _ = trained(tuning, clips, seed=3)
    given_again, losses_again = trained(tuning, clips, weights, seed=3)
    scratch_again, _ = trained(tuning, clips, seed=3)
    assert losses == losses_again
    assert same(given, given_again)
    assert same(scratch, scratch_again)
    assert not same(given, scratch)
    assert same(before, values(weights.weights)), "the given weights were trained"


@pytest.mark.large
def test_seeds_and_weights_make_a_difference(tuning, clips):
    first, _ = trained(tuning, clips, new_backbone(seed=7), seed=3)
    assert not same(first, trained(tuning, clips, new_backbone(seed=7), seed=4)[0])
    assert not same(first, trained(tuning, clips, new_backbone(seed=8), seed=3)[0])


class Start(keras.callbacks.Callback):
    """The classifier's weights when training begins."""

    def on_train_begin(self, logs=None):
        self.backbone = values(self.model.backbone.weights)
        self.head = values(self.model.head.weights)
        self.iterations = int(self.model.optimizer.iterations)


def test_a_run_starts_from_the_given_weights_and_a_new_head(tuning, clips):
    weights, start = new_backbone(seed=7), Start()
    tuning.run(clips, weights, seed=3, callbacks=[start])
    assert same(start.backbone, values(weights.weights))
    head = start.head
    assert start.iterations == 0
    tuning.run(clips, None, seed=3, callbacks=[start])
    assert not same(start.backbone, values(weights.weights))
    assert same(head, start.head), "both runs compare with the same head"
    assert np.any(head[0])
    assert not np.any(head[1])


def test_weights_of_a_pretrainers_teacher_are_trained(tuning, clips):
    weights = new_backbone(seed=7)
    weights.trainable = False
    classifier, _ = tuning.run(clips, weights)
    trained_weights = values(classifier.backbone.weights)
    assert not same(trained_weights, values(weights.weights))


@pytest.mark.large
def test_a_run_has_its_steps_whatever_the_number_of_clips(tuning, clips):
    for few in (clips, clips.take([0, 1, 2])):
        classifier, history = tuning.run(few)
        assert int(classifier.optimizer.iterations) == STEPS
        assert set(history) == {"loss", "accuracy"}


@pytest.mark.large_on_jax
def test_tones_are_learned(tuning, clips):
    classifier, history = tuning.run(clips)
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    scores, indices = training.clip_probabilities(classifier, clips)
    assert np.mean(scores.argmax(axis=1) == clips.targets()[indices]) > 0.8


def test_weights_of_another_architecture(tuning, clips):
    wide = training.SmallModel(
        RATE, SECONDS, num_frames=32, num_mel_bins=32, hidden_dim=32, num_layers=1
    )
    with pytest.raises(ValueError, match="shape"):
        tuning.run(clips, wide.backbone(wide.frontend()))


def new_classifier(clips):
    return models.ASiTClassifier(
        new_backbone(), 3, pooling="mean", class_names=clips.class_names
    )


@pytest.mark.large_on_jax
def test_clip_probabilities_are_predict_files(clips):
    classifier = new_classifier(clips)
    scores, indices = training.clip_probabilities(classifier, clips)
    assert list(indices) == list(range(len(clips)))
    assert scores.shape == (len(clips), 3)
    for path, row in zip(clips.paths, scores, strict=True):
        expected = dict(classifier.predict_file(path))
        for name, value in zip(clips.class_names, row, strict=True):
            assert value == pytest.approx(expected[name], abs=1e-5)


def test_clip_probabilities_pass_over_a_broken_clip(clips, tmp_path):
    many = clips.take(np.tile(np.arange(len(clips)), 3))  # 1 of 27 may fail
    broken = tmp_path / "broken.wav"
    broken.write_text("not audio")
    many.paths[4] = str(broken)
    with pytest.warns(UserWarning, match=r"1 of 27 clips(.|\n)*broken\.wav"):
        scores, indices = training.clip_probabilities(new_classifier(clips), many)
    assert list(indices) == [i for i in range(27) if i != 4]
    assert len(scores) == 26
