"""A vision transformer of images as plain arrays, whoever trained it."""

import dataclasses

import numpy as np

from keras_asit.models import ASiTBackbone
from keras_asit.presets.positions import interpolated_positions

COLOURS = {"mean": np.mean, "sum": np.sum}
TIME_AXES = ("height", "width")
# Ours is 1e-6. Larger ones than that change what a network computes; the variances it
# is added to are far above either.
MAX_EPSILON = 1e-5


@dataclasses.dataclass
class ImageTransformer:
    """Configuration and weights under our names, kernels as Keras has them.

    Args:
        grid: Patches along height and width.
        num_heads: Attention heads of a block.
        epsilon: Of its layer normalisations.
        activation: Name of that of its MLPs.
        patch_kernel: `(patch, patch, colours, D)`: height, width, channels.
        patch_bias: `(D,)`.
        class_token: `(D,)`.
        positions: `(1 + P, D)`, the class token's first, then row by row.
        blocks: For every block, pairs of kernel and bias, or of gain and shift:
            `attention_norm`, `qkv`, `projection`, `mlp_norm`, `expand`, `contract`.
        norm: Gain and shift of the final normalisation.

    Raises:
        ValueError: If our blocks do not compute what its do.
    """

    grid: tuple
    num_heads: int
    epsilon: float
    activation: str
    patch_kernel: np.ndarray
    patch_bias: np.ndarray
    class_token: np.ndarray
    positions: np.ndarray
    blocks: list
    norm: tuple

    def __post_init__(self):
        if self.activation != "gelu" or not 0 <= self.epsilon <= MAX_EPSILON:
            raise ValueError(
                "Expected a vision transformer with exact GELU and layer normalisation "
                f"with an epsilon of at most {MAX_EPSILON:g} (ours is 1e-6); received "
                f"activation={self.activation!r}, epsilon={self.epsilon!r}."
            )
        if self.patch_kernel.shape[0] != self.patch_kernel.shape[1]:
            raise ValueError(
                "Expected square patches; received patches of (height, width)="
                f"{self.patch_kernel.shape[:2]}."
            )

    def transposed(self):
        """The same for images with height and width exchanged."""
        tokens = self.positions[1:].reshape(*self.grid, -1).swapaxes(0, 1)
        tokens = tokens.reshape(-1, tokens.shape[-1])
        return dataclasses.replace(
            self,
            grid=self.grid[::-1],
            patch_kernel=self.patch_kernel.swapaxes(0, 1),
            positions=np.concatenate([self.positions[:1], tokens]),
        )

    def backbone(self, input_shape, frontend, colours, **arguments):
        """An `ASiTBackbone` with these weights; height is time.

        Args:
            input_shape: Frames and mel bins.
            frontend: As of an `ASiTBackbone`.
            colours: One of `COLOURS`: how the channels become one.
            **arguments: Others of an `ASiTBackbone`.
        """
        side, _, _, width = self.patch_kernel.shape
        backbone = ASiTBackbone(
            input_shape,
            patch_size=side,
            hidden_dim=width,
            num_layers=len(self.blocks),
            num_heads=self.num_heads,
            mlp_dim=self.blocks[0]["expand"][0].shape[1],
            frontend=frontend,
            **arguments,
        )
        kernel = COLOURS[colours](self.patch_kernel, axis=2).reshape(-1, width)
        embedding = backbone.embedding
        embedding.projection.set_weights([kernel, self.patch_bias])
        embedding.class_token.assign(self.class_token.reshape(1, 1, width))
        positions = interpolated_positions(
            self.positions[None], self.grid, backbone.grid
        )
        embedding.position_embedding.assign(positions)
        for block, weights in zip(backbone.blocks, self.blocks, strict=True):
            for name, pair in weights.items():
                _part(block, name).set_weights(list(pair))
        backbone.norm.set_weights(list(self.norm))
        return backbone


def _part(block, name):
    in_attention = name in ("qkv", "projection")
    return getattr(block.attention if in_attention else block, name)
