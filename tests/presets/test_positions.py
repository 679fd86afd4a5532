import logging

import keras
import numpy as np
import pytest
import scipy.ndimage

from keras_asit import presets
from keras_asit.models import ASiTBackbone, ASiTClassifier
from keras_asit.presets.positions import interpolated_positions
from tiny_asit import BINS, FRAMES, PATCH, shake, tiny_backbone, values


@pytest.fixture
def backbone():
    backbone = tiny_backbone(drop_path=0.1)
    shake(backbone.weights)
    return backbone


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape)


@pytest.mark.parametrize(
    "new_grid", [(3, 2), (5, 2), (7, 2), (12, 2), (5, 3), (5, 1), (12, 5), (2, 4)]
)
def test_interpolated_as_scipy_does(new_grid):
    positions = noise(1, 1 + 5 * 2, 4)
    grid = positions[0, 1:].reshape(5, 2, 4)
    expected = scipy.ndimage.zoom(
        grid,
        (new_grid[0] / 5, new_grid[1] / 2, 1),
        order=1,
        mode="nearest",
        grid_mode=True,
    )
    result = interpolated_positions(positions, (5, 2), new_grid)
    assert np.array_equal(result[0, 0], positions[0, 0])
    np.testing.assert_allclose(result[0, 1:], expected.reshape(-1, 4), atol=1e-12)


def test_time_alone_changes_as_it_always_did():
    """The formula along time by itself, to the bit."""
    positions = noise(1, 1 + 5 * 2, 4).astype("float32")
    rows = positions[0, 1:].reshape(5, 8)
    middle = np.clip((np.arange(7) + 0.5) * 5 / 7 - 0.5, 0, 4)
    left = np.floor(middle).astype(int)
    share = (middle - left)[:, None]
    between = (1 - share) * rows[left] + share * rows[np.minimum(left + 1, 4)]
    result = interpolated_positions(positions, (5, 2), (7, 2))
    assert result.dtype == "float32"
    assert np.array_equal(result[0, 1:], between.reshape(14, 4).astype("float32"))


def test_the_same_grid_changes_nothing():
    positions = noise(1, 1 + 5 * 2, 4).astype("float32")
    assert np.array_equal(interpolated_positions(positions, (5, 2), (5, 2)), positions)


def test_a_ramp_stays_a_ramp():
    """Of twice as many patches; the outermost take the border's value."""
    ramp = np.arange(4.0)
    along_time = np.broadcast_to(ramp[:, None, None], (4, 4, 1))
    halves = [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]
    for values_, axis in ((along_time, 0), (along_time.swapaxes(0, 1), 1)):
        positions = np.concatenate([[[9.0]], values_.reshape(-1, 1)])[None]
        result = interpolated_positions(positions, (4, 4), (8, 8))[0, 1:, 0]
        result = np.moveaxis(result.reshape(8, 8), axis, 0)
        np.testing.assert_allclose(result, np.tile(halves, (8, 1)).T)


def test_half_as_many_patches_lie_between():
    """The middle of a pair of patches lies between theirs."""
    positions = np.array([[[7.0], [0.0], [2.0], [10.0], [14.0]]])
    result = interpolated_positions(positions, (1, 4), (1, 2))
    assert result.ravel().tolist() == [7, 1, 12]


# Models.


@pytest.mark.parametrize(
    "sides", [{"num_frames": 80}, {"num_mel_bins": 64}, {"num_frames": 32}, None]
)
def test_resized_has_all_weights(backbone, sides):
    sides = sides or {"num_frames": 96, "num_mel_bins": 16}
    before = values(backbone.weights)
    other = presets.resized(backbone, **sides)
    shape = (sides.get("num_frames", FRAMES), sides.get("num_mel_bins", BINS))
    assert type(other) is ASiTBackbone and other is not backbone
    assert (other.num_frames, other.num_mel_bins) == shape
    frontend = other.frontend.get_config()
    assert (frontend["num_frames"], frontend["num_mel_bins"]) == shape
    kept = ("sample_rate", "mean", "std", "frame_shift_ms")
    assert {k: frontend[k] for k in kept} == {
        k: backbone.frontend.get_config()[k] for k in kept
    }
    assert other.drop_path == 0.1
    positions = other.embedding.position_embedding
    for number, theirs in enumerate(other.weights):
        expected = before[number]
        if theirs is positions:
            expected = interpolated_positions(expected, backbone.grid, other.grid)
        assert np.array_equal(values([theirs])[0], expected)
        assert np.array_equal(values([backbone.weights[number]])[0], before[number])
    assert other(np.zeros((1, *shape), "float32")).shape[1] == positions.shape[1]


def test_the_same_size_is_the_model_itself(backbone):
    assert presets.resized(backbone) is backbone
    assert presets.resized(backbone, FRAMES, BINS) is backbone


def test_a_classifier_keeps_its_head(backbone):
    classifier = ASiTClassifier(
        backbone, 2, class_names=["cat", "dog"], pooling="mean", freeze_backbone=True
    )
    shake(classifier.head.weights)
    other = presets.resized(classifier, num_frames=5 * PATCH)
    assert type(other) is ASiTClassifier and other.class_names == ["cat", "dog"]
    assert other.pooling == "mean" and not other.backbone.trainable
    assert other.backbone.num_frames == 5 * PATCH
    assert np.array_equal(*values([other.head.kernel, classifier.head.kernel]))
    assert other(np.zeros((1, 5 * PATCH, BINS), "float32")).shape == (1, 2)


def test_one_line_says_from_which_grid_to_which(backbone, caplog):
    with caplog.at_level(logging.INFO, logger="keras_asit.presets"):
        presets.resized(backbone)
        assert not caplog.records
        presets.resized(backbone, num_frames=80, num_mel_bins=64)
    [record] = caplog.records
    assert (record.name, record.levelname) == ("keras_asit.presets", "INFO")
    assert "from 3 x 2 to 5 x 4 patches" in record.getMessage()


def test_a_preset_of_more_frames_is_resized(backbone, tmp_path):
    presets.save(backbone, tmp_path / "preset")
    loaded = presets.load(tmp_path / "preset", num_frames=80)
    expected = presets.resized(backbone, num_frames=80)
    for pair in zip(loaded.weights, expected.weights, strict=True):
        assert np.array_equal(*values(pair))


@pytest.mark.parametrize(
    "sides, message",
    [
        ({"num_frames": 50}, "multiples of patch_size=16.*50 frames"),
        ({"num_frames": 0}, "0 frames"),
        ({"num_mel_bins": 40}, "40 bins"),
        ({"num_frames": -16}, "num_frames"),
    ],
)
def test_sides_that_the_patch_does_not_divide(backbone, sides, message):
    with pytest.raises(ValueError, match=message):
        presets.resized(backbone, **sides)


def test_other_models():
    with pytest.raises(ValueError, match="received Sequential"):
        presets.resized(keras.Sequential(), num_frames=32)
