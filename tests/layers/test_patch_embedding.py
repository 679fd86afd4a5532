import numpy as np
import pytest
from keras import ops

from keras_asit.layers.patch_embedding import (
    PatchEmbedding,
    patch_grid,
    patchify,
    unpatchify,
)
from layer_checks import check_layer


def spectrograms(frames=12, bins=8):
    values = np.random.default_rng(0).normal(size=(2, frames, bins))
    return values.astype("float32")


def patches_of(spectrogram, side):
    """The definition as a plain loop: time-major patches of one spectrogram."""
    frames, bins = spectrogram.shape
    patches = []
    for t in range(0, frames, side):
        for f in range(0, bins, side):
            pixels = []
            for row in range(side):
                for column in range(side):
                    pixels.append(spectrogram[t + row, f + column])
            patches.append(pixels)
    return np.array(patches)


def test_layer_properties():
    check_layer(
        PatchEmbedding,
        {"patch_size": 4, "hidden_dim": 6},
        input_shape=(2, 12, 8),
        expected_output_shape=(2, 7, 6),
        expected_num_weights=4,
    )


def test_config_keeps_every_argument():
    arguments = {
        "patch_size": 4,
        "hidden_dim": 6,
        "kernel_std": None,
        "position_std": 0.5,
    }
    layer = PatchEmbedding.from_config(PatchEmbedding(**arguments).get_config())
    assert {name: getattr(layer, name) for name in arguments} == arguments


@pytest.mark.parametrize("std", [-0.1, float("nan"), float("inf"), None, "0.02"])
def test_deviations_that_are_none_are_refused(std):
    with pytest.raises(ValueError, match=f"position_std is .* received {std!r}"):
        PatchEmbedding(4, 6, position_std=std)


def test_patchify_equals_a_plain_loop():
    x = spectrograms()
    expected = np.stack([patches_of(clip, 4) for clip in x])
    np.testing.assert_array_equal(ops.convert_to_numpy(patchify(x, 4)), expected)


@pytest.mark.parametrize("frames, bins, side", [(12, 8, 4), (8, 8, 8), (6, 10, 2)])
def test_unpatchify_is_the_inverse(frames, bins, side):
    x = spectrograms(frames, bins)
    back = unpatchify(patchify(x, side), (frames // side, bins // side))
    np.testing.assert_array_equal(ops.convert_to_numpy(back), x)


def test_tokens_equal_plain_numpy():
    layer, x = PatchEmbedding(4, 6), spectrograms()
    layer.build(x.shape)
    kernel, bias, class_token, positions = weights = [
        np.random.default_rng(i).normal(size=weight.shape).astype("float32")
        for i, weight in enumerate(
            [
                layer.projection.kernel,
                layer.projection.bias,
                layer.class_token,
                layer.position_embedding,
            ]
        )
    ]
    layer.projection.set_weights(weights[:2])
    layer.class_token.assign(class_token)
    layer.position_embedding.assign(positions)
    projected = np.stack([patches_of(clip, 4) for clip in x]) @ kernel + bias
    first = np.repeat(class_token, 2, axis=0)
    expected = np.concatenate([first, projected], axis=1) + positions
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), expected, atol=1e-5)


def test_initial_weights():
    """Truncated normal of deviation 0.02, cut at two deviations; zero bias."""
    layer = PatchEmbedding(16, 64)
    layer.build((None, 64, 64))
    kernel = ops.convert_to_numpy(layer.projection.kernel)
    assert 0.016 < kernel.std() < 0.0205
    assert np.abs(kernel).max() <= 0.0400001
    assert not np.any(ops.convert_to_numpy(layer.projection.bias))
    assert 0.015 < ops.convert_to_numpy(layer.position_embedding).std() < 0.0205
    layer = PatchEmbedding(16, 64, position_std=1.0)
    layer.build((None, 64, 64))
    assert 0.8 < ops.convert_to_numpy(layer.position_embedding).std() < 1.0


def test_patch_grid():
    assert patch_grid((592, 128), 16) == (37, 8)


@pytest.mark.parametrize(
    "shape, patch_size, expected",
    [
        ((600, 128), 16, "multiples of patch_size=16.*600 frames.*num_frames=592"),
        ((592, 120), 16, "592 frames and 120 bins.*num_mel_bins=112"),
        ((8, 128), 16, "num_frames=16"),
        ((None, 128), 16, "known T and F.*None.*num_frames"),
        ((592,), 16, r"\(B, T, F\)"),
        ((592, 128, 1), 16, r"\(B, T, F\).*\(B, 592, 128, 1\)"),
        ((592, 128), 0, "patch_size.*1 or more.*received 0"),
        ((592, 128), 2.5, "patch_size.*received 2.5"),
        ((592, 128), 16.0, "patch_size.*received 16.0"),
        ((592, 128), float("nan"), "patch_size.*received nan"),
    ],
)
def test_shapes_that_do_not_fit(shape, patch_size, expected):
    with pytest.raises(ValueError, match=expected):
        patch_grid(shape, patch_size)
    with pytest.raises(ValueError, match=expected):
        PatchEmbedding(patch_size, 8).build((None, *shape))


def test_another_shape_than_built_for():
    layer = PatchEmbedding(4, 6)
    layer(spectrograms())
    with pytest.raises(ValueError, match=r"expected shape=\(None, 12, 8\)"):
        layer(spectrograms(16, 8))
