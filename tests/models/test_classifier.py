"""The classifier: fit and predict on features, waveforms and files."""

import re
import warnings

import keras
import numpy as np
import pytest
import soundfile
from keras import ops

from keras_asit.audio import AudioError, LogMelFilterbank, read
from keras_asit.layers import RandomResizedCrop
from keras_asit.layers.pooling import POOLINGS, pool, pooled_width
from keras_asit.losses import ClassCrossentropy
from keras_asit.models import ASiTBackbone, ASiTClassifier
from keras_asit.models.classifier import cover
from tiny_asit import BINS, FRAMES, RATE, SAMPLES, tiny_backbone, values, waveforms

CLASSES = ["dog", "rain", "siren"]
COMPILED = {"jit_compile": "auto" if keras.backend.backend() == "jax" else False}
CLIPS = 6


def features(clips=CLIPS, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(clips, FRAMES, BINS)).astype("float32")


@pytest.fixture(scope="module")
def fitted():
    """Fitted for an epoch on features and one on waveforms."""
    keras.utils.set_random_seed(0)
    model = ASiTClassifier(tiny_backbone(), 3, class_names=CLASSES)
    model.compile(optimizer=keras.optimizers.Adam(1e-3), **COMPILED)
    targets = np.arange(CLIPS) % 3
    of_features = model.fit(features(), targets, batch_size=CLIPS, verbose=0)
    model.compile(optimizer=model.optimizer, **COMPILED)
    waves = waveforms(CLIPS, 1)[:, 0]
    of_waves = model.fit(waves, targets, batch_size=CLIPS, verbose=0)
    return model, of_features.history, of_waves.history


def test_fit_takes_features_and_waveforms(fitted):
    _, *histories = fitted
    for history in histories:
        assert set(history) == {"loss", "accuracy"}
        assert np.isfinite(history["loss"]).all()


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only a TensorFlow graph forgets"
)
def test_features_and_waveforms_in_turn_need_a_new_graph(fitted):
    model = fitted[0]
    targets = np.arange(CLIPS) % 3
    with pytest.raises(ValueError, match=r"Call compile\(\) before you change"):
        model.fit(features(), targets, batch_size=CLIPS, verbose=0)
    model.compile(optimizer=model.optimizer, **COMPILED)


def test_waveforms_go_through_the_frontend(fitted):
    model = fitted[0]
    waves = waveforms(CLIPS, 1)[:, 0]
    spectrograms = ops.convert_to_numpy(model.backbone.frontend(waves))
    np.testing.assert_allclose(
        ops.convert_to_numpy(model(waves)),
        ops.convert_to_numpy(model(spectrograms)),
        atol=1e-5,
    )


def test_probabilities_are_the_softmax_of_the_logits(fitted):
    model = fitted[0]
    logits = ops.convert_to_numpy(model(features()))
    found = model.probabilities(features())
    np.testing.assert_allclose(found, softmax(logits), atol=1e-5)
    np.testing.assert_allclose(model.predict(features(), verbose=0), logits, atol=1e-5)


def softmax(logits):
    logits = ops.convert_to_numpy(logits).astype("float64")
    return np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@pytest.mark.large_on_jax
def test_probabilities_of_features_after_predict_of_waveforms(tmp_path):
    model = ASiTClassifier(tiny_backbone(num_layers=1), 3)
    waves = waveforms(2, 1)[:, 0]
    model.predict(waves, verbose=0)
    of_features = model.probabilities(features(2))
    np.testing.assert_allclose(of_features, softmax(model(features(2))), atol=1e-5)
    np.testing.assert_allclose(
        model.probabilities(waves), softmax(model(waves)), atol=1e-5
    )
    write(tmp_path / "clip.wav", SAMPLES / RATE)
    assert len(model.predict_file(tmp_path / "clip.wav")) == 3


@pytest.mark.large_on_jax
@pytest.mark.parametrize(
    ("clips", "batch_size", "sizes"), [(5, 2, [2, 2, 2]), (5, 32, [8]), (1, 4, [1])]
)
def test_probabilities_use_few_batch_sizes(monkeypatch, clips, batch_size, sizes):
    model = ASiTClassifier(tiny_backbone(num_layers=1), 3)
    found = []

    def predict(backbone, batch):
        found.append(len(batch))
        return ops.convert_to_numpy(backbone(batch))

    monkeypatch.setattr(ASiTBackbone, "predict_on_batch", predict)
    x = features(clips)
    scores = model.probabilities(x, batch_size=batch_size)
    assert found == sizes
    np.testing.assert_allclose(scores, softmax(model(x)), atol=1e-5)


@pytest.mark.parametrize("shape", [(0, FRAMES, BINS), (0, SAMPLES)])
def test_no_input_has_no_probabilities(fitted, shape):
    assert fitted[0].probabilities(np.zeros(shape, "float32")).shape == (0, 3)


def test_wrong_numbers_are_refused(fitted, tmp_path):
    for size in (0, -1, 2.5, None):
        message = f"batch_size is a whole number of 1 or more; received {size}"
        with pytest.raises(ValueError, match=message):
            fitted[0].probabilities(features(), batch_size=size)
    write(tmp_path / "clip.wav", 0.1)
    for top in (0, -1, 1.5):
        message = f"top is a whole number of 1 or more; received {top}"
        with pytest.raises(ValueError, match=message):
            fitted[0].predict_file(tmp_path / "clip.wav", top=top)


def test_class_names_may_be_an_array():
    model = ASiTClassifier(tiny_backbone(), 3, class_names=np.array(CLASSES))
    assert model.get_config()["class_names"] == CLASSES


@pytest.mark.large_on_jax
def test_mixed_precision_leaves_waveforms_as_they_are(monkeypatch):
    received, plain = [], LogMelFilterbank.call

    def call(self, waveform):
        received.append(keras.backend.standardize_dtype(waveform.dtype))
        return plain(self, waveform)

    monkeypatch.setattr(LogMelFilterbank, "call", call)
    backbone = tiny_backbone(num_layers=1, dtype="mixed_bfloat16")
    model = ASiTClassifier(backbone, 3, dtype="mixed_bfloat16")
    logits = model(waveforms(2, 1)[:, 0])
    assert received == ["float32"]
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    assert backbone(features(1)).dtype == "bfloat16"


@pytest.mark.parametrize("dtype", [None, "float32"])
def test_dtype_policy_round_trip(dtype):
    """By default the backbone's."""
    backbone = tiny_backbone(num_layers=1, dtype="mixed_bfloat16")
    model = ASiTClassifier(backbone, 3, dtype=dtype)
    assert model.dtype_policy.name == (dtype or "mixed_bfloat16")
    again = ASiTClassifier.from_config(model.get_config())
    assert again.dtype_policy.name == model.dtype_policy.name
    assert again.backbone.dtype_policy.name == "mixed_bfloat16"


@pytest.mark.large_on_jax
def test_multi_label():
    model = ASiTClassifier(tiny_backbone(), 3, multi_label=True)
    model.compile(optimizer="adam", run_eagerly=keras.backend.backend() != "jax")
    targets = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0]] * 2)[:CLIPS]
    logits = ops.convert_to_numpy(model(features())).astype("float64")
    history = model.fit(features(), targets, batch_size=CLIPS, verbose=0).history
    assert set(history) == {"loss", "binary_accuracy"}
    # Binary cross-entropy, and accuracy at a probability of 0.5: a logit of 0.
    by_hand = np.logaddexp(0, logits) - targets * logits
    np.testing.assert_allclose(history["loss"][0], by_hand.mean(), rtol=1e-5)
    right = ((logits > 0) == targets).mean()
    np.testing.assert_allclose(history["binary_accuracy"][0], right, atol=1e-6)
    found = model.probabilities(features())
    logits = ops.convert_to_numpy(model(features())).astype("float64")
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-logits)), atol=1e-5)
    assert not np.allclose(found.sum(axis=1), 1)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling_by_hand(pooling):
    """Three patches: three steps in time, one band."""
    tokens = np.arange(2 * 4 * 3, dtype="float32").reshape(2, 4, 3)
    expected = {
        "cls": [[0, 1, 2], [12, 13, 14]],
        "mean": [[6, 7, 8], [18, 19, 20]],
        "cls+mean": [[0, 1, 2, 6, 7, 8], [12, 13, 14, 18, 19, 20]],
        "bands": [[6, 7, 8], [18, 19, 20]],
        "statistics": [
            [6, 7, 8, *[6**0.5] * 3, 3, 3, 3],
            [18, 19, 20, *[6**0.5] * 3, 3, 3, 3],
        ],
        "grid": [list(range(3, 12)), list(range(15, 24))],
    }
    found = pool(ops.convert_to_tensor(tokens), pooling, grid=(3, 1))
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), expected[pooling], rtol=1e-6
    )
    assert found.shape[-1] == pooled_width(pooling, 3, (3, 1))


def test_bands_are_the_means_over_time_of_each():
    """Two steps of two bands: patches are time-major."""
    tokens = ops.convert_to_tensor([[[0.0], [1.0], [2.0], [5.0], [8.0]]])
    found = pool(tokens, "bands", grid=(2, 2))
    np.testing.assert_array_equal(ops.convert_to_numpy(found), [[3.0, 5.0]])


def test_statistics_are_those_of_each_band():
    """Three steps of two bands; one step does not vary."""
    tokens = ops.convert_to_tensor([[[0.0], [1.0], [2.0], [5.0], [8.0], [3.0], [2.0]]])
    found = pool(tokens, "statistics", grid=(3, 2))
    first, second = np.array([1.0, 5.0, 3.0]), np.array([2.0, 8.0, 2.0])
    expected = [first.mean(), second.mean(), first.std(), second.std(), 3.0, 6.0]
    np.testing.assert_allclose(ops.convert_to_numpy(found), [expected], rtol=1e-6)
    found = pool(tokens[:, :3], "statistics", grid=(1, 2))
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), [[1.0, 2.0, 1e-3, 1e-3, 0.0, 0.0]], rtol=1e-6
    )


@pytest.mark.parametrize("pooling", POOLINGS)
def test_head_reads_the_pooled_tokens(pooling):
    model = ASiTClassifier(tiny_backbone(), 3, pooling=pooling)
    tokens = ops.convert_to_numpy(model.backbone(features())).astype("float64")
    cls, mean = tokens[:, 0], tokens[:, 1:].mean(axis=1)
    data = tokens[:, 1:].reshape(len(tokens), *model.backbone.grid, -1)
    pooled = {
        "cls": [cls],
        "mean": [mean],
        "cls+mean": [cls, mean],
        "bands": [data.mean(axis=1).reshape(len(data), -1)],
        "statistics": [
            value.reshape(len(data), -1)
            for value in (
                data.mean(axis=1),
                data.std(axis=1),
                np.abs(np.diff(data, axis=1)).mean(axis=1),
            )
        ],
        "grid": [data.reshape(len(data), -1)],
    }[pooling]
    kernel = ops.convert_to_numpy(model.head.kernel)
    expected = np.concatenate(pooled, axis=1) @ kernel
    np.testing.assert_allclose(
        ops.convert_to_numpy(model(features())), expected, atol=1e-5
    )


def test_a_frozen_backbone_is_left_as_it_is_and_drops_nothing():
    backbone = tiny_backbone(num_layers=1, drop_path=0.9)
    model = ASiTClassifier(backbone, 3, freeze_backbone=True)
    model.compile(optimizer=keras.optimizers.Adam(1e-2), **COMPILED)
    targets = np.arange(CLIPS) % 3
    likelihoods = softmax(model(features()))[np.arange(CLIPS), targets]
    before, head = values(backbone.weights), values(model.head.weights)
    history = model.fit(features(), targets, batch_size=CLIPS, verbose=0).history
    assert history["loss"] == pytest.approx([-np.log(likelihoods).mean()], rel=1e-5)
    for a, b in zip(before, values(backbone.weights), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(head, values(model.head.weights), strict=True):
        assert np.all(a != b)


# --- Files ------------------------------------------------------------------------


def test_windows_cover_the_whole_wave():
    wave = np.arange(1, 11, dtype="float32")
    np.testing.assert_array_equal(cover(wave[:3], 5), [[1, 2, 3, 0, 0]])
    np.testing.assert_array_equal(cover(wave[:5], 5), [[1, 2, 3, 4, 5]])
    np.testing.assert_array_equal(cover(wave, 5), [wave[:5], wave[5:]])
    np.testing.assert_array_equal(
        cover(wave, 4), [[1, 2, 3, 4], [4, 5, 6, 7], [7, 8, 9, 10]]
    )


def write(path, seconds, rate=RATE, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    wave = 0.1 * rng.normal(size=(round(seconds * rate), channels))
    soundfile.write(path, wave, rate, subtype="FLOAT")
    return wave.astype("float32")


def test_predict_file_is_the_mean_over_windows(fitted, tmp_path):
    model = fitted[0]
    wave = write(tmp_path / "long.wav", 3.2 * SAMPLES / RATE)[:, 0]
    starts = [round(i * (len(wave) - SAMPLES) / 3 - 0.5) for i in range(4)]
    windows = np.stack([wave[start : start + SAMPLES] for start in starts])
    expected = model.probabilities(windows).mean(axis=0)
    found = model.predict_file(tmp_path / "long.wav", top=3)
    assert {name for name, _ in found} == set(CLASSES)
    for name, probability in found:
        np.testing.assert_allclose(
            probability, expected[CLASSES.index(name)], atol=1e-5
        )
    assert [p for _, p in found] == sorted((p for _, p in found), reverse=True)
    assert sum(p for _, p in found) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    ("seconds", "rate", "channels"),
    [(0.5, 44100, 2), (0.1, RATE, 1), (12.0, 8000, 1)],
)
def test_predict_file_takes_any_rate_and_length(
    fitted, tmp_path, seconds, rate, channels
):
    path = tmp_path / "clip.wav"
    write(path, seconds, rate, channels)
    windows = cover(read(path, sample_rate=RATE)[0], SAMPLES)
    expected = fitted[0].probabilities(windows).mean(axis=0)
    found = dict(fitted[0].predict_file(str(path)))
    np.testing.assert_allclose([found[name] for name in CLASSES], expected, atol=1e-6)
    assert list(dict(fitted[0].predict_file(path, top=2))) == list(found)[:2]


def test_predict_file_mixes_stereo_down(fitted, tmp_path):
    wave = write(tmp_path / "stereo.wav", SAMPLES / RATE, channels=2)
    found = dict(fitted[0].predict_file(tmp_path / "stereo.wav"))
    expected = fitted[0].probabilities(wave.mean(axis=1)[None])[0]
    for name, probability in zip(CLASSES, expected, strict=True):
        np.testing.assert_allclose(found[name], probability, atol=1e-4)


def test_predict_file_names_a_broken_file(fitted, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"not audio")
    with pytest.raises(AudioError, match="broken"):
        fitted[0].predict_file(tmp_path / "broken.wav")


# --- Saving, exporting, errors ----------------------------------------------------


def test_saved_and_loaded_to_the_bit(fitted, tmp_path):
    model = fitted[0]
    model.save(tmp_path / "classifier.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        loaded = keras.models.load_model(tmp_path / "classifier.keras")
    assert loaded.class_names == CLASSES
    assert loaded.get_config()["pooling"] == "cls"
    for ours, theirs in (
        (model.weights, loaded.weights),
        (model.optimizer.variables, loaded.optimizer.variables),
    ):
        for a, b in zip(values(ours), values(theirs), strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(loaded(features())),
        ops.convert_to_numpy(model(features())),
    )
    assert isinstance(loaded.loss, ClassCrossentropy)


@pytest.mark.parametrize("kind", ["features", "waveforms"])
def test_exported_model_serves_the_same(fitted, tmp_path, kind):
    tf = pytest.importorskip("tensorflow", reason="a SavedModel needs TensorFlow")
    model = fitted[0]
    inputs = features(3) if kind == "features" else waveforms(3, 1)[:, 0]
    chosen = {} if kind == "features" else {"inputs": kind}  # features by default
    model.export(str(tmp_path / kind), verbose=False, **chosen)
    served = tf.saved_model.load(str(tmp_path / kind))
    expected = ops.convert_to_numpy(model(inputs))
    np.testing.assert_allclose(served.serve(inputs).numpy(), expected, atol=1e-5)


def test_export_of_other_inputs_is_refused(fitted, tmp_path):
    with pytest.raises(
        ValueError, match=r"\['features', 'waveforms'\]; received 'mp3'"
    ):
        fitted[0].export(str(tmp_path / "model"), inputs="mp3")


@pytest.mark.parametrize(
    "shape", [(2, FRAMES, BINS + 1), (2, FRAMES + 16, BINS), (2, FRAMES, BINS, 1)]
)
def test_wrong_inputs_are_refused(fitted, shape):
    message = (
        "Expected features (B, 48, 32) or waveforms (B, samples) at 16000 Hz; received "
        f"{shape}. Make such features from waveforms"
    )
    for call in (fitted[0], fitted[0].probabilities):
        with pytest.raises(ValueError, match=re.escape(message)):
            call(np.zeros(shape, "float32"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 3, "pooling": "max"}, r"received 'max'"),
        ({"num_classes": 0}, r"num_classes is at least 1"),
        ({"num_classes": 2, "class_names": CLASSES}, r"number of class_names"),
        ({"num_classes": 2, "class_names": np.array(CLASSES)}, r"Give a name for"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ASiTClassifier(tiny_backbone(), **arguments)


class PlusOne(keras.layers.Layer):
    """Adds one in training; counts its calls there."""

    calls = 0

    def call(self, x, training=False):
        PlusOne.calls += 1
        return x + 1.0 if training else x


def test_augmentation_is_for_training_alone_and_is_saved(tmp_path):
    layer = RandomResizedCrop((0.5, 1.0), (0.8, 1.2), seed=3)
    model = ASiTClassifier(tiny_backbone(), 3, augmentation=[layer])
    x = features()
    plain = ASiTClassifier(model.backbone, 3)
    plain.head.set_weights(model.head.get_weights())
    np.testing.assert_array_equal(
        ops.convert_to_numpy(model(x)), ops.convert_to_numpy(plain(x))
    )
    assert np.any(
        ops.convert_to_numpy(model(x, training=True)) != ops.convert_to_numpy(plain(x))
    )
    model.compile("sgd")
    model.fit(x, np.arange(len(x)) % 3, epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    [revived] = loaded.augmentation
    assert (revived.time, revived.frequency, revived.seed) == ((0.5, 1), (0.8, 1.2), 3)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(loaded(x)), ops.convert_to_numpy(model(x))
    )


def test_augmentation_changes_what_is_learned_from():
    model = ASiTClassifier(tiny_backbone(), 3, augmentation=PlusOne())
    x = features()
    seen = ops.convert_to_numpy(model(x, training=True))
    expected = ops.convert_to_numpy(model(x + 1.0))
    np.testing.assert_allclose(seen, expected, rtol=1e-5, atol=1e-6)
    model(x)
    assert PlusOne.calls == 1
