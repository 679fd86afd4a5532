"""Hidden states: against a run block by block, and against transformers."""

import itertools
import re

import keras
import numpy as np
import pytest
from keras import ops

from keras_asit import presets
from keras_asit.models.hidden_states import hidden_states
from tiny_asit import BINS, FRAMES, PATCHES, shake, tiny_backbone


def spectrograms(batch=2):
    values = np.random.default_rng(0).normal(size=(batch, FRAMES, BINS))
    return values.astype("float32")


def random_backbone(**arguments):
    """Its weights are none of the initial ones."""
    backbone = tiny_backbone(**arguments)
    shake(backbone.weights, scale=0.2)
    return backbone


def arrays(states):
    return [ops.convert_to_numpy(ops.cast(state, "float32")) for state in states]


@pytest.mark.parametrize("depth", [1, 3])
def test_each_is_the_output_of_a_shallower_backbone(depth):
    """A backbone cut behind block i has state i before its norm; all from symbols."""
    backbone = random_backbone(num_layers=depth)
    found = arrays(hidden_states(backbone, spectrograms()))
    layers = ["patch_embedding", *(f"block_{i}" for i in range(depth))]
    cut = keras.Model(backbone.input, [backbone.get_layer(n).output for n in layers])
    expected = arrays(cut(spectrograms()))
    assert len(found) == depth + 1
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.shape == (2, 1 + PATCHES, 32)
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert all(np.abs(a - b).max() > 0.1 for a, b in itertools.pairwise(found))


def test_the_norm_of_the_last_is_the_output():
    backbone = random_backbone()
    last = hidden_states(backbone, spectrograms())[-1]
    output = ops.convert_to_numpy(backbone(spectrograms()))
    np.testing.assert_allclose(
        ops.convert_to_numpy(backbone.norm(last)), output, atol=1e-5
    )
    assert np.abs(ops.convert_to_numpy(last) - output).max() > 0.1


def test_they_equal_those_of_transformers():
    torch = pytest.importorskip("torch", reason="torch is in the dev extra")
    transformers = pytest.importorskip("transformers", reason="it is in the dev extra")
    config = transformers.ViTConfig(
        image_size=(FRAMES, BINS),
        patch_size=16,
        num_channels=1,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=40,
        initializer_range=0.2,
    )
    torch.manual_seed(0)
    theirs = transformers.ViTModel(config, add_pooling_layer=False).eval()
    backbone = presets.from_vision_transformer(theirs, (FRAMES, BINS))
    with torch.no_grad():
        x = torch.from_numpy(spectrograms())[:, None]
        expected = theirs(x, output_hidden_states=True).hidden_states
    found = arrays(hidden_states(backbone, spectrograms()))
    for ours, state in zip(found, expected, strict=True):
        assert state.std() > 0.3
        np.testing.assert_allclose(ours, state.numpy(), atol=1e-4, rtol=0)


def test_stochastic_depth_acts_in_training_only():
    backbone = random_backbone(drop_path=0.9)
    x = spectrograms(16)
    plain = arrays(hidden_states(backbone, x))
    again = arrays(hidden_states(backbone, x))
    trained = arrays(hidden_states(backbone, x, training=True))
    np.testing.assert_array_equal(plain[-1], again[-1])
    np.testing.assert_allclose(trained[1], plain[1], atol=1e-5)  # its rate is 0
    assert np.abs(trained[2] - plain[2]).max() > 0.1


def test_they_have_the_compute_dtype():
    backbone = tiny_backbone(dtype="mixed_bfloat16")
    for state in hidden_states(backbone, spectrograms()):
        assert keras.backend.standardize_dtype(state.dtype) == "bfloat16"


def test_other_shapes_are_refused():
    shape = (2, BINS, FRAMES)
    message = re.escape(f"Expected features (B, {FRAMES}, {BINS}); received {shape}")
    with pytest.raises(ValueError, match=message):
        hidden_states(tiny_backbone(), np.zeros(shape, "float32"))
