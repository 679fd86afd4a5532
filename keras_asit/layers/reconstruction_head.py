"""From data tokens back to a spectrogram."""

import keras
from keras import ops

from keras_asit.layers.dense import KERNEL_STD, by_rows, dense
from keras_asit.layers.patch_embedding import unpatchify
from keras_asit.layers.projection_head import BottleneckMLP


@keras.saving.register_keras_serializable("keras_asit")
class ReconstructionHead(keras.layers.Layer):
    """The light decoder of the group masked autoencoder.

    "The decoder consists of 3 fully connected layers; the first two with 2048
    neurons and GeLU non-linearity each, and the last bottleneck layer with 256
    neurons, followed by a transposed convolution to return back to the
    spectrogram space" (paper, Section 3.1). It is dropped after pretraining.

    A transposed convolution whose stride is its kernel's side paints every
    token's patch on its own, so that it is one matrix product and a bias.

    Args:
        grid: Patches along time and frequency.
        patch_size: Side of a patch.
        hidden_dims: Widths of the hidden layers.
        bottleneck_dim: Width of the last fully connected layer.
        gelu_bottleneck: Whether a GELU follows the bottleneck too.
        kernel_std: Deviation of the initial kernels; None scales it to the width.

    Input shape:
        `(B, P, D)` data tokens, without the class token, `P = grid[0] * grid[1]`.

    Output shape:
        `(B, T, F)` with `T = grid[0] * patch_size`, `F = grid[1] * patch_size`.

    Raises:
        ValueError: If the number of tokens is not that of the grid.

    Example:

    >>> head = ReconstructionHead(grid=(37, 8), patch_size=16)
    >>> tuple(head(keras.ops.zeros((2, 296, 192))).shape)
    (2, 592, 128)

    Reference:
        The authors' code uses widths 768, 768, 128 and a GELU after the last.
    """

    def __init__(
        self,
        grid,
        patch_size,
        hidden_dims=(2048, 2048),
        bottleneck_dim=256,
        gelu_bottleneck=False,
        kernel_std=KERNEL_STD,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.grid = tuple(grid)
        self.patch_size = patch_size
        self.hidden_dims = tuple(hidden_dims)
        self.bottleneck_dim = bottleneck_dim
        self.gelu_bottleneck = gelu_bottleneck
        self.kernel_std = kernel_std
        self.mlp = BottleneckMLP(
            hidden_dims,
            bottleneck_dim,
            gelu_bottleneck=gelu_bottleneck,
            kernel_std=kernel_std,
            dtype=self.dtype_policy,
            name="mlp",
        )
        self.to_patch = dense(
            patch_size**2,
            kernel_std,
            use_bias=False,
            dtype=self.dtype_policy,
            name="to_patch",
        )

    def build(self, input_shape):
        number = self.grid[0] * self.grid[1]
        if len(input_shape) != 3 or input_shape[1] != number:
            raise ValueError(
                f"Expected (B, {number}, D), {number} data tokens for "
                f"grid={self.grid}; received {tuple(input_shape)}. Leave the class "
                "token out: tokens[:, 1:]."
            )
        self.input_spec = keras.InputSpec(ndim=3, axes={1: number})
        self.mlp.build(input_shape)
        self.to_patch.build((*input_shape[:-1], self.bottleneck_dim))
        self.bias = self.add_weight(name="bias", shape=(1,), initializer="zeros")

    def call(self, tokens):
        patches = by_rows(self.to_patch, self.mlp(tokens))
        return unpatchify(patches + ops.cast(self.bias, patches.dtype), self.grid)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *(side * self.patch_size for side in self.grid))

    def get_config(self):
        return {
            **super().get_config(),
            "grid": self.grid,
            "patch_size": self.patch_size,
            "hidden_dims": self.hidden_dims,
            "bottleneck_dim": self.bottleneck_dim,
            "gelu_bottleneck": self.gelu_bottleneck,
            "kernel_std": self.kernel_std,
        }
