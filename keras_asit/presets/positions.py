"""The same weights for inputs of another size: positions are interpolated."""

import logging

import keras
import numpy as np

from keras_asit.layers.patch_embedding import patch_grid
from keras_asit.layers.pooling import pooled_width
from keras_asit.models import ASiTBackbone, ASiTClassifier, SuperbClassifier
from keras_asit.models.backbone_of import backbone_of

log = logging.getLogger("keras_asit.presets")


def resized(model, num_frames=None, num_mel_bins=None):
    """The model for inputs of another size, with all its weights.

    A vision transformer knows the size of its input by its position embeddings alone:
    they are interpolated linearly, along time and along frequency; that of the class
    token stays. The logger `keras_asit.presets` says from which grid to which.

    The frontend changes with it and keeps its rate, mean and deviation: `num_frames`
    frames last longer or shorter, and `num_mel_bins` bins divide the same frequencies.

    Args:
        model: An `ASiTBackbone` or an `ASiTClassifier`; its own values stay.
        num_frames: Frames T of the input, a multiple of the patch; None keeps them.
        num_mel_bins: Mel bins F, a multiple of the patch; None keeps them.

    Returns:
        Another model of the same class, not compiled; the model itself where it has
        that size already.

    Raises:
        ValueError: If the model is another, or the patch does not divide a side.

    Example:

    >>> backbone = keras_asit.models.ASiTBackbone(
    ...     (96, 32), hidden_dim=16, num_layers=1, num_heads=2, mlp_dim=16)
    >>> longer = keras_asit.presets.resized(backbone, num_frames=192)
    >>> longer.grid, tuple(longer.output.shape)
    ((12, 2), (None, 25, 16))
    """
    _check_resizable(model)
    backbone = backbone_of(model)
    frames = backbone.num_frames if num_frames is None else num_frames
    bins = backbone.num_mel_bins if num_mel_bins is None else num_mel_bins
    if (frames, bins) == (backbone.num_frames, backbone.num_mel_bins):
        return model
    other = untrained(model, (frames, bins))
    _copy_weights(model, other)
    return other


def _check_resizable(model):
    if isinstance(model, SuperbClassifier):
        raise ValueError(
            "A SuperbClassifier keeps its size; received one. Resize its backbone, and "
            "make another SuperbClassifier of it."
        )
    if not isinstance(model, (ASiTBackbone, ASiTClassifier)):
        raise ValueError(
            "model is an ASiTBackbone or an ASiTClassifier; received "
            f"{type(model).__name__}. Of an ASiTPretrainer give the teacher."
        )


def untrained(model, input_shape):
    """The same model for `(frames, mel bins)`, with fresh weights."""
    if isinstance(model, ASiTClassifier):
        backbone = untrained(model.backbone, input_shape)
        widths = [
            pooled_width(model.pooling, one.hidden_dim, one.grid)
            for one in (model.backbone, backbone)
        ]
        if widths[0] != widths[1]:
            raise ValueError(
                f"A classifier of pooling={model.pooling!r} reads {widths[0]} numbers, "
                f"and would get {widths[1]} of inputs {input_shape}. Resize its "
                "backbone, and train another head."
            )
        return ASiTClassifier.from_config({**model.get_config(), "backbone": backbone})
    if min(input_shape) < 0:  # 0 and what the patch does not divide are told below
        raise ValueError(
            "num_frames and num_mel_bins are multiples of the patch; received "
            f"{input_shape}."
        )
    patch_grid(input_shape, model.patch_size)
    sides = dict(zip(("num_frames", "num_mel_bins"), input_shape))
    frontend = type(model.frontend).from_config(
        {**model.frontend.get_config(), **sides}
    )
    config = {"input_shape": input_shape, "frontend": frontend}
    return ASiTBackbone.from_config({**model.get_config(), **config})


def _copy_weights(model, other):
    """Copies all weights; the position embeddings are interpolated."""
    old, new = backbone_of(model), backbone_of(other)
    positions = new.embedding.position_embedding
    for theirs, ours in zip(model.weights, other.weights, strict=True):
        value = keras.ops.convert_to_numpy(theirs)
        if ours is positions:
            value = interpolated_positions(value, old.grid, new.grid)
        ours.assign(value)


def interpolated_positions(positions, grid, new_grid):
    """Position embeddings for another grid of patches, linear along each axis.

    Patches of both grids divide the same sides, and a position is that of a patch's
    middle: the outermost of a finer grid lie outside the coarser's and take the
    border's value. Where the grid changes, the logger says so.

    Args:
        positions: `(1, 1 + P, D)`, the class token's first.
        grid: Patches along time and frequency, `P = grid[0] * grid[1]`.
        new_grid: The same of the positions wanted, `P' = new_grid[0] * new_grid[1]`.

    Returns:
        `(1, 1 + P', D)`, of the same type.

    Reference:
        Gong et al., AST: Audio Spectrogram Transformer, 2021, Section 2.2, bilinear
        too; an axis with fewer patches is cut there, here it is interpolated as well.
    """
    width = positions.shape[-1]
    between = positions[0, 1:].reshape(*grid, width)
    for axis, steps in enumerate(new_grid):
        if steps != grid[axis]:
            between = _linear(between, axis, steps)
    if tuple(new_grid) != tuple(grid):
        log.info(
            "Position embeddings interpolated from %d x %d to %d x %d patches "
            "(time x frequency).",
            *grid,
            *new_grid,
        )
    between = between.reshape(1, -1, width).astype(positions.dtype)
    return np.concatenate([positions[:, :1], between], axis=1)


def _linear(values, axis, steps):
    """Values at the middles of `steps` equal parts of an axis, between the old ones."""
    number = values.shape[axis]
    middle = (np.arange(steps) + 0.5) * number / steps - 0.5
    middle = np.clip(middle, 0, number - 1)
    left = np.floor(middle).astype(int)
    right = np.minimum(left + 1, number - 1)
    share = np.expand_dims(middle - left, [i for i in range(values.ndim) if i != axis])
    return (1 - share) * values.take(left, axis) + share * values.take(right, axis)
