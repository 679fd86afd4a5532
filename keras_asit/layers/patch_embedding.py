"""From a spectrogram to tokens."""

import math
from numbers import Integral, Real

import keras
from keras import ops

from keras_asit.layers.dense import KERNEL_STD, by_rows, dense

CLASS_TOKEN_STD = POSITION_STD = 0.02


def patchify(spectrogram, patch_size):
    """Cuts spectrograms into square patches, time-major.

    Args:
        spectrogram: `(B, T, F)`, both sides multiples of `patch_size`.
        patch_size: Side of a patch in frames and mel bins.

    Returns:
        `(B, P, patch_size ** 2)`: patch `i * (F // patch_size) + j` holds the
        pixels of time step `i` and frequency step `j`, time first.
    """
    frames, bins = spectrogram.shape[1:]
    grid = (frames // patch_size, bins // patch_size)
    x = ops.reshape(spectrogram, (-1, grid[0], patch_size, grid[1], patch_size))
    x = ops.transpose(x, (0, 1, 3, 2, 4))
    return ops.reshape(x, (-1, grid[0] * grid[1], patch_size**2))


def unpatchify(patches, grid):
    """The inverse of `patchify`.

    Args:
        patches: `(B, P, patch_size ** 2)`.
        grid: Patches along time and along frequency, `P = grid[0] * grid[1]`.

    Returns:
        `(B, T, F)`.
    """
    side = int(patches.shape[-1] ** 0.5)
    x = ops.reshape(patches, (-1, grid[0], grid[1], side, side))
    x = ops.transpose(x, (0, 1, 3, 2, 4))
    return ops.reshape(x, (-1, grid[0] * side, grid[1] * side))


@keras.saving.register_keras_serializable("keras_asit")
class PatchEmbedding(keras.layers.Layer):
    """Projects patches to tokens, adds the class token and the positions.

    The first stage of the vision transformer (paper, Section 3.1). A learned
    position embedding tells tokens apart, the class token's included.

    Args:
        patch_size: Side of a square patch in frames and mel bins.
        hidden_dim: Width D of the tokens.
        kernel_std: Deviation of the initial kernels; None scales it to the width.
        position_std: Deviation of the initial position embedding, before truncation
            at twice its size. Where it is far below that of the projected patches a
            network does not know at first which patch is where, and needs time to
            learn it.

    Input shape:
        `(B, T, F)`: frames and mel bins, both multiples of `patch_size`.

    Output shape:
        `(B, 1 + P, D)` with `P = T * F / patch_size ** 2`, class token first,
        then the patches, time-major.

    Raises:
        ValueError: If the input is not of rank 3, if `patch_size` does not divide
            its sides, or if a deviation is not finite, or negative.

    Example:

    >>> tokens = PatchEmbedding(16, 192)(keras.ops.zeros((2, 592, 128)))
    >>> tuple(tokens.shape)
    (2, 297, 192)

    Reference:
        Dosovitskiy et al., An Image is Worth 16x16 Words, 2021.
    """

    def __init__(
        self,
        patch_size,
        hidden_dim,
        kernel_std=KERNEL_STD,
        position_std=POSITION_STD,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.patch_size = patch_size
        self.hidden_dim = hidden_dim
        self.kernel_std = kernel_std
        self.position_std = _checked_position_std(position_std)
        self.projection = dense(
            hidden_dim, kernel_std, dtype=self.dtype_policy, name="projection"
        )

    def build(self, input_shape):
        self.grid = patch_grid(input_shape[1:], self.patch_size)
        self.input_spec = keras.InputSpec(shape=(None, *input_shape[1:]))
        num_patches = self.grid[0] * self.grid[1]
        self.projection.build((None, num_patches, self.patch_size**2))
        self.class_token = self.add_weight(
            name="class_token",
            shape=(1, 1, self.hidden_dim),
            initializer=keras.initializers.TruncatedNormal(stddev=CLASS_TOKEN_STD),
        )
        self.position_embedding = self.add_weight(
            name="position_embedding",
            shape=(1, 1 + num_patches, self.hidden_dim),
            initializer=keras.initializers.TruncatedNormal(stddev=self.position_std),
        )

    def call(self, spectrogram):
        patches = patchify(spectrogram, self.patch_size)
        tokens = by_rows(self.projection, patches)
        class_token = ops.broadcast_to(
            ops.cast(self.class_token, tokens.dtype),
            (ops.shape(tokens)[0], 1, self.hidden_dim),
        )
        tokens = ops.concatenate([class_token, tokens], axis=1)
        return tokens + ops.cast(self.position_embedding, tokens.dtype)

    def compute_output_shape(self, input_shape):
        grid = patch_grid(input_shape[1:], self.patch_size)
        return (input_shape[0], 1 + grid[0] * grid[1], self.hidden_dim)

    def get_config(self):
        return {
            **super().get_config(),
            "patch_size": self.patch_size,
            "hidden_dim": self.hidden_dim,
            "kernel_std": self.kernel_std,
            "position_std": self.position_std,
        }


def patch_grid(spectrogram_shape, patch_size):
    """Patches along time and frequency of a `(T, F)` spectrogram.

    Raises:
        ValueError: If the shape has no two known sides or `patch_size` is no whole
            number that divides both.
    """
    shape = tuple(spectrogram_shape)
    if not isinstance(patch_size, Integral) or patch_size < 1:
        raise ValueError(
            "patch_size is a whole number of frames and mel bins, 1 or more, for "
            f"example 16; received {patch_size!r}."
        )
    if len(shape) != 2 or None in shape:
        raise ValueError(
            "Expected spectrograms (B, T, F) with known T and F; received "
            f"(B, {', '.join(map(str, shape))}). Cut or pad them to one length, "
            "for example with LogMelFilterbank(num_frames=...)."
        )
    if shape[0] % patch_size or shape[1] % patch_size or 0 in shape:
        nearest = tuple(max(side // patch_size, 1) * patch_size for side in shape)
        raise ValueError(
            f"The frames and mel bins must be multiples of patch_size={patch_size}; "
            f"received {shape[0]} frames and {shape[1]} bins. Use for example "
            f"num_frames={nearest[0]} and num_mel_bins={nearest[1]}."
        )
    return shape[0] // patch_size, shape[1] // patch_size


def _checked_position_std(std):
    if not isinstance(std, Real) or not 0 <= std < math.inf:
        raise ValueError(
            f"position_std is a finite number of 0 or more; received {std!r}."
        )
    return std
