import numpy as np
import pytest
from keras import ops

from keras_asit.layers import (
    BottleneckMLP,
    PatchEmbedding,
    ProjectionHead,
    ReconstructionHead,
    SelfAttention,
    TransformerBlock,
)
from keras_asit.layers.dense import dense, kernel_initializer


def kernel(**options):
    layer = dense(64, **options)
    layer.build((None, 400))
    assert not np.any(ops.convert_to_numpy(layer.bias))
    return ops.convert_to_numpy(layer.kernel)


@pytest.mark.parametrize("std", [0.0, -1.0, float("nan"), float("inf")])
def test_deviations_that_are_none_are_refused(std):
    with pytest.raises(ValueError, match=f"kernel_std is .* received {std}"):
        kernel_initializer(std)


@pytest.mark.parametrize("kernel_std, largest", [(0.02, 0.04), (0.1, 0.2)])
def test_truncated_normal(kernel_std, largest):
    """Cut at two deviations, which leaves 0.88 of the deviation."""
    values = kernel(kernel_std=kernel_std)
    assert values.std() == pytest.approx(0.88 * kernel_std, rel=0.03)
    assert np.abs(values).max() <= largest * 1.00001


def test_default_is_that_of_the_vision_transformer():
    assert kernel().std() == pytest.approx(0.0176, rel=0.03)


def test_scaled_to_the_width():
    """`1 / sqrt(400)`; Keras makes up for what the cut takes away."""
    assert kernel(kernel_std=None).std() == pytest.approx(0.05, rel=0.03)


@pytest.mark.parametrize(
    "cls, options",
    [
        (PatchEmbedding, {"patch_size": 4, "hidden_dim": 8}),
        (SelfAttention, {"num_heads": 2}),
        (TransformerBlock, {"num_heads": 2, "mlp_dim": 8}),
        (BottleneckMLP, {"hidden_dims": (8,), "bottleneck_dim": 4}),
        (ProjectionHead, {"output_dim": 8, "hidden_dims": (8,)}),
        (ReconstructionHead, {"grid": (2, 2), "patch_size": 4}),
    ],
)
def test_layers_keep_it_in_their_config(cls, options):
    layer = cls(**options, kernel_std=None)
    revived = cls.from_config(layer.get_config())
    assert revived.get_config() == layer.get_config()
    part = revived.mlp if cls is ProjectionHead else revived
    assert part.kernel_std is None
