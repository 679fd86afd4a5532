"""SUPERB's classifier: the numbers by hand, what is trained, what is kept."""

import re

import keras
import numpy as np
import pytest
import soundfile
from keras import ops

from keras_asit import data, embed, presets, training
from keras_asit.callbacks import Checkpoint
from keras_asit.losses import ClassCrossentropy
from keras_asit.models.hidden_states import hidden_states
from keras_asit.models.superb import SuperbClassifier, SuperbFeatures
from tiny_asit import BINS, FRAMES, RATE, SAMPLES, shake, tiny_backbone, values
from tiny_asit import waveforms as tiny_waveforms

CLASSES = ["ann", "bob", "eve"]
CLIPS = 6
TARGETS = np.arange(CLIPS) % 3


def features(clips=CLIPS, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(clips, FRAMES, BINS)).astype("float32")


def waveforms(clips=CLIPS):
    return tiny_waveforms(clips, 1)[:, 0]


def superb(optimizer=None, **options):
    """With weights that are none of the initial ones; compiled."""
    keras.utils.set_random_seed(0)
    model = SuperbClassifier(
        tiny_backbone(**options), 3, class_names=CLASSES, projection_dim=8
    )
    shake(model.weights, scale=0.3)
    model.compile(optimizer=optimizer or keras.optimizers.Adam(1e-2))
    return model


@pytest.fixture(scope="module")
def model():
    return superb()


def by_hand(model, x):
    """SUPERB's formula in numpy, of the backbone's hidden states."""
    states = [
        ops.convert_to_numpy(state).astype("float64")
        for state in hidden_states(model.backbone.backbone, x)
    ]
    weights = ops.convert_to_numpy(model.layer_weights).astype("float64")
    shares = np.exp(weights) / np.exp(weights).sum()
    tokens = np.tensordot(shares, np.stack(states), axes=1)
    (kernel, bias), (head_kernel, head_bias) = (
        [np.asarray(array, "float64") for array in layer.get_weights()]
        for layer in (model.backbone.projector, model.head)
    )
    projected = tokens @ kernel + bias
    return projected[:, 1:].mean(axis=1) @ head_kernel + head_bias


# The numbers.


def test_logits_by_hand(model):
    assert np.ptp(values([model.layer_weights])[0]) > 0.1
    expected = by_hand(model, features())
    found = ops.convert_to_numpy(model(features()))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert found.std() > 0.01


def test_mean_over_frequency_then_time_is_the_same(model):
    tokens = ops.convert_to_numpy(model.backbone(features()))[:, 1:]
    grid = tokens.reshape(CLIPS, *model.backbone.grid, 8)
    np.testing.assert_allclose(
        tokens.mean(axis=1), grid.mean(axis=2).mean(axis=1), atol=1e-5
    )


def test_it_begins_with_the_plain_mean():
    model = SuperbClassifier(tiny_backbone(), 3)
    assert tuple(model.layer_weights.shape) == (3,)
    np.testing.assert_array_equal(values([model.layer_weights])[0], 0)
    np.testing.assert_allclose(model.layer_shares, 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(
        ops.convert_to_numpy(model(features())), by_hand(model, features()), atol=1e-5
    )
    assert model.backbone.projector.units == 256


def test_shares_are_the_softmax_of_the_weights(model):
    weights = values([model.layer_weights])[0]
    expected = np.exp(weights) / np.exp(weights).sum()
    assert isinstance(model.layer_shares, np.ndarray)
    np.testing.assert_allclose(model.layer_shares, expected, rtol=1e-6)


def test_a_large_weight_chooses_one_state(model):
    chosen = SuperbFeatures(tiny_backbone(), projection_dim=8)
    chosen.layer_weights.assign([0.0, 100.0, 0.0])
    state = hidden_states(chosen.backbone, features())[1]
    np.testing.assert_allclose(
        ops.convert_to_numpy(chosen(features())),
        ops.convert_to_numpy(chosen.projector(state)),
        atol=1e-5,
    )


def test_waveforms_go_through_the_frontend(model):
    spectrograms = ops.convert_to_numpy(model.backbone.frontend(waveforms()))
    np.testing.assert_allclose(
        ops.convert_to_numpy(model(waveforms())),
        ops.convert_to_numpy(model(spectrograms)),
        atol=1e-5,
    )


def test_mixed_precision_sums_in_float32():
    model = SuperbClassifier(tiny_backbone(dtype="mixed_bfloat16"), 3)
    assert model.dtype_policy.name == "mixed_bfloat16"
    tokens, logits = model.backbone(features()), model(features())
    for tensor in (tokens, logits):
        assert keras.backend.standardize_dtype(tensor.dtype) == "float32"
    np.testing.assert_allclose(
        ops.convert_to_numpy(logits), by_hand_of_bfloat16(model), atol=1e-4
    )


def by_hand_of_bfloat16(model):
    states = hidden_states(model.backbone.backbone, features())
    tokens = sum(ops.cast(state, "float32") for state in states) / len(states)
    pooled = ops.mean(model.backbone.projector(tokens)[:, 1:], axis=1)
    return ops.convert_to_numpy(model.head(pooled))


# What is trained.


@pytest.mark.parametrize("unfrozen", [False, True])
def test_the_backbone_is_left_alone(unfrozen):
    """Also by weight decay, and where the model is made trainable."""
    model = superb(keras.optimizers.AdamW(1e-2, weight_decay=0.5), drop_path=0.5)
    if unfrozen:
        model.trainable = False
        model.trainable = True
        model.compile(optimizer=model.optimizer)
    frozen = model.backbone.backbone
    expected = [model.layer_weights, *model.backbone.projector.weights]
    expected += model.head.weights
    assert [*map(id, model.trainable_variables)] == [*map(id, expected)]
    assert not any(weight.trainable for weight in frozen.weights)
    before, trained = values(frozen.variables), values(model.trainable_variables)
    model.fit(features(), TARGETS, batch_size=3, epochs=2, verbose=0)
    for old, new in zip(before, values(frozen.variables), strict=True):
        np.testing.assert_array_equal(old, new)
    for old, new in zip(trained, values(model.trainable_variables), strict=True):
        assert np.abs(old - new).max() > 1e-4


def test_it_learns():
    model = superb(keras.optimizers.Adam(3e-2))
    history = model.fit(features(), TARGETS, batch_size=CLIPS, epochs=40, verbose=0)
    assert set(history.history) == {"loss", "accuracy"}
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
    assert isinstance(model.loss, ClassCrossentropy)


def test_a_frozen_one_is_frozen_when_it_is_rebuilt():
    model = SuperbFeatures(tiny_backbone(), trainable=False)
    again = SuperbFeatures.from_config(model.get_config())
    for each in (model, again):
        assert not each.trainable and not each.trainable_variables
        each.trainable = True
        assert len(each.trainable_variables) == 3
        assert not each.backbone.trainable


# What is kept.


def test_config_round_trip(model):
    config = keras.saving.serialize_keras_object(model)
    revived = keras.saving.deserialize_keras_object(config)
    assert type(revived) is SuperbClassifier
    assert revived.get_config() == model.get_config()
    assert revived.class_names == CLASSES
    assert revived.backbone.hidden_dim == 8
    assert not revived.backbone.backbone.trainable


def test_saved_and_loaded_to_the_bit(tmp_path):
    model = superb()
    model.fit(features(), TARGETS, batch_size=3, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for a, b in zip(
        values([*model.weights, *model.optimizer.variables]),
        values([*loaded.weights, *loaded.optimizer.variables]),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(
        *(ops.convert_to_numpy(each(features())) for each in (model, loaded))
    )


def test_a_resumed_run_is_the_whole_run_to_the_bit(tmp_path):
    def fitted(model, epochs, folder):
        # Batches in order: what is compared is the state of the model.
        model.fit(
            features(),
            TARGETS,
            batch_size=3,
            epochs=epochs,
            shuffle=False,
            verbose=0,
            callbacks=[Checkpoint(folder, 1)],
            resume=folder,
        )
        return values([*model.variables, *model.optimizer.variables])

    whole = fitted(superb(), 3, tmp_path / "whole")
    fitted(superb(), 2, tmp_path / "parts")
    other = superb()
    shake(other.trainable_variables)
    parts = fitted(other, 3, tmp_path / "parts")
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(a, b)


# Files, and errors.


@pytest.fixture
def clips(tmp_path):
    """Two clips a speaker, of two lengths."""
    for number, name in enumerate(CLASSES * 2):
        (tmp_path / name).mkdir(exist_ok=True)
        rng = np.random.default_rng(number)
        wave = 0.1 * rng.normal(size=SAMPLES * (1 + number % 2))
        soundfile.write(tmp_path / name / f"{number}.wav", wave, RATE)
    return data.read_manifest(tmp_path)


@pytest.mark.large_on_jax
def test_probabilities_of_clips(model, clips):
    scores, indices = training.clip_probabilities(model, clips)
    assert scores.shape == (6, 3)
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    for row, index in zip(scores, indices, strict=True):
        of_file = dict(model.predict_file(clips.paths[index], top=3))
        np.testing.assert_allclose(row, [of_file[n] for n in CLASSES], atol=1e-5)
    logits = by_hand(model, features())
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(model.probabilities(features()), expected, atol=1e-5)


@pytest.mark.large_on_jax
def test_fine_tune_takes_it(clips):
    """As the recipe does: a protocol with a classifier of its own."""
    backbone = tiny_backbone()
    before = values(backbone.weights)
    result = training.fine_tune(
        backbone,
        clips,
        clips,
        training.Protocol(epochs=1, batch_size=3, seconds=SAMPLES / RATE),
        classifier=lambda frozen, class_names: SuperbClassifier(
            frozen, len(class_names), class_names=class_names, projection_dim=8
        ),
    )
    assert type(result.classifier) is SuperbClassifier
    assert result.classifier.class_names == CLASSES
    assert result.scores.shape == (6, 3)
    frozen = result.classifier.backbone.backbone
    for a, b in zip(before, values(frozen.weights), strict=True):
        np.testing.assert_array_equal(a, b)


def test_wrong_inputs_and_arguments_are_refused(model):
    shape = (2, FRAMES, BINS + 1)
    message = re.escape(f"Expected features (B, 48, 32); received {shape}")
    with pytest.raises(ValueError, match=message):
        model.backbone(np.zeros(shape, "float32"))
    with pytest.raises(ValueError, match="number of class_names"):
        SuperbClassifier(tiny_backbone(), 2, class_names=CLASSES)


def test_embeddings_are_those_of_the_frozen_backbone():
    backbone = tiny_backbone()
    waves = np.random.default_rng(0).uniform(-1, 1, (2, 16000)).astype("float32")
    expected = embed(backbone, waves, 16000)
    found = embed(SuperbClassifier(backbone, 3, projection_dim=8), waves, 16000)
    np.testing.assert_array_equal(found, expected)


def test_it_is_not_resized_but_its_backbone_is():
    with pytest.raises(ValueError, match="Resize its backbone"):
        presets.resized(SuperbClassifier(tiny_backbone(), 3), num_frames=96)
