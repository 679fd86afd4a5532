"""Embeddings of labelled clips are those of `embed`."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_asit
from keras_asit.callbacks.labelled_clips import (
    LabelledClips,
    backbone_of,
    class_numbers,
)
from keras_asit.models import ASiTClassifier
from tiny_asit import RATE, tiny_backbone, waveforms

LABELS = np.array([0, 1, 2, 0, 1])


@pytest.fixture(scope="module")
def classifier():
    return ASiTClassifier(tiny_backbone(num_layers=1), 3)


@pytest.fixture(scope="module")
def waves():
    return waveforms(5)[:, 0]


class Batches(keras.utils.PyDataset):
    """Batches of 2 and 3 clips; without a length Python would go on for ever."""

    def __init__(self, x, weights=None):
        super().__init__()
        self.x, self.weights = x, weights

    def __len__(self):
        return 2

    def __getitem__(self, index):
        part = slice(0, 2) if index == 0 else slice(2, 5)
        arrays = self.x[part], LABELS[part]
        return arrays if self.weights is None else (*arrays, self.weights[part])


@pytest.mark.large_on_jax
@pytest.mark.parametrize("pooling", ["mean", "cls+mean"])
def test_waveforms_as_embed_has_them(classifier, waves, pooling):
    """In batches of 4 and 1."""
    clips = LabelledClips((waves, LABELS), batch_size=4, pooling=pooling)
    found, labels = clips.embed(classifier)
    expected = keras_asit.embed(classifier, waves, RATE, pooling=pooling)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(labels, LABELS)


def test_features_and_datasets(classifier, waves):
    expected, _ = LabelledClips((waves, LABELS)).embed(classifier)
    fbank = ops.convert_to_numpy(classifier.backbone.frontend(waves))
    weights = np.array([1, 1, 1, 1, 0], "float32")
    for clips, number in [
        (LabelledClips((fbank, LABELS)), 5),
        (LabelledClips(Batches(fbank)), 5),
        (LabelledClips(Batches(fbank, weights)), 4),  # the last only fills up a batch
    ]:
        for _ in range(2):  # a dataset is read anew
            found, labels = clips.embed(classifier)
            assert len(found) == number
            np.testing.assert_allclose(found, expected[:number], rtol=1e-4, atol=1e-5)
            np.testing.assert_array_equal(labels, LABELS[:number])


def test_one_class_a_clip():
    assert class_numbers([[0, 1], [1, 0]]).tolist() == [1, 0]
    assert class_numbers(["dog", "cat"]).tolist() == ["dog", "cat"]
    for wrong in ([[1, 1]], [[0, 0]]):
        with pytest.raises(ValueError, match="Expected one class a clip"):
            class_numbers(wrong)


def test_refusals(classifier, waves):
    with pytest.raises(ValueError, match=r"x of shape \(5, 8, 8, 1\), y of shape"):
        LabelledClips((np.zeros((5, 8, 8, 1)), LABELS))
    with pytest.raises(ValueError, match=r"y of shape \(4,\)"):
        LabelledClips((waves, LABELS[:4]))
    with pytest.raises(ValueError, match="Received: 3 parts"):
        LabelledClips((waves, LABELS, LABELS))
    with pytest.raises(ValueError, match="received 'max'"):
        LabelledClips((waves, LABELS), pooling="max")
    with pytest.raises(ValueError, match="without a batch"):
        LabelledClips(iter(())).embed(classifier)
    with pytest.raises(ValueError, match="Received: Dense"):
        backbone_of(keras.layers.Dense(1))
