import keras
import numpy as np
import pytest
from keras import ops

from keras_asit.layers.reconstruction_head import ReconstructionHead
from layer_checks import check_layer

SMALL = {
    "grid": (3, 2),
    "patch_size": 4,
    "hidden_dims": (7, 6),
    "bottleneck_dim": 5,
}


def tokens(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def test_layer_properties():
    check_layer(
        ReconstructionHead,
        {**SMALL, "gelu_bottleneck": True},
        input_shape=(2, 6, 8),
        expected_output_shape=(2, 12, 8),
        # Three dense layers, the kernel of the transposed convolution, its bias.
        expected_num_weights=8,
    )


def test_equals_keras_transposed_convolution():
    head = ReconstructionHead((3, 2), 16, hidden_dims=(7, 6), bottleneck_dim=5)
    x = tokens(2, 6, 8)
    head.build(x.shape)
    draws = np.random.default_rng(1)
    kernel = draws.normal(size=(5, 256)).astype("float32")
    head.to_patch.set_weights([kernel])
    head.bias.assign([0.7])
    # (height, width, output, input) is Keras's order for transposed kernels.
    convolution = keras.layers.Conv2DTranspose(1, 16, strides=16)
    convolution.build((None, 3, 2, 5))
    convolution.set_weights(
        [kernel.reshape(5, 16, 16, 1).transpose(1, 2, 3, 0), np.array([0.7])]
    )
    grid = ops.reshape(head.mlp(x), (2, 3, 2, 5))
    expected = ops.convert_to_numpy(convolution(grid))[..., 0]
    np.testing.assert_allclose(ops.convert_to_numpy(head(x)), expected, atol=1e-5)


def test_parameters_of_the_paper():
    """Fully connected 2048, 2048, 256, then a 16 x 16 transposed convolution."""
    head = ReconstructionHead((37, 8), 16)
    head.build((None, 296, 192))
    mlp = (192 + 1) * 2048 + (2048 + 1) * 2048 + (2048 + 1) * 256
    assert head.count_params() == mlp + 256 * 256 + 1


def test_gelu_follows_the_bottleneck_when_asked():
    x = tokens(1, 6, 8)
    plain, with_gelu = (
        ReconstructionHead(**SMALL, gelu_bottleneck=choice) for choice in (False, True)
    )
    for head in (plain, with_gelu):
        head.build(x.shape)
    with_gelu.set_weights(plain.get_weights())
    expected = ops.gelu(plain.mlp(x), approximate=False)
    np.testing.assert_allclose(
        ops.convert_to_numpy(with_gelu.mlp(x)),
        ops.convert_to_numpy(expected),
        atol=1e-6,
    )


def test_tokens_that_do_not_fit_the_grid():
    with pytest.raises(
        ValueError, match=r"6 data tokens.*\(6, 7, 8\).*[Cc]lass\n*.*token"
    ):
        ReconstructionHead(**SMALL)(tokens(6, 7, 8))
