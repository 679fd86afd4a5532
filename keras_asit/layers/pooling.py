"""From tokens to one vector a clip."""

from keras import ops

POOLINGS = ("cls", "mean", "cls+mean", "bands", "grid")


def pool(tokens, pooling, grid=None):
    """One vector a clip from tokens `(B, 1 + P, D)`.

    Args:
        tokens: Class token first, then the patches, time-major.
        pooling: `"cls"` for the class token, `"mean"` for the mean of the data
            tokens, `"cls+mean"` for both, one behind the other. `"bands"` keeps the
            bands of frequency apart: the mean over time of each, one behind the other
            (as MSM-MAE and M2D are evaluated). `"grid"` keeps time apart as well: all
            data tokens one behind the other, for clips that begin together, as words
            do.
        grid: Patches along time and frequency, for the last two.

    Returns:
        `(B, pooled_width(pooling, D, grid))`.
    """
    if pooling == "cls":
        return tokens[:, 0]
    data = tokens[:, 1:]
    if pooling in ("bands", "grid"):
        width = tokens.shape[-1]
        if pooling == "bands":
            data = ops.mean(ops.reshape(data, (-1, *grid, width)), axis=1)
        return ops.reshape(data, (-1, pooled_width(pooling, width, grid)))
    mean = ops.mean(data, axis=1)
    return mean if pooling == "mean" else ops.concatenate([tokens[:, 0], mean], -1)


def pooled_width(pooling, width, grid):
    """Length of the vector that `pool` makes of tokens of a width D.

    Args:
        pooling: As of `pool`.
        width: D.
        grid: Patches along time and frequency.
    """
    parts = {"cls+mean": 2, "bands": grid[1], "grid": grid[0] * grid[1]}
    return width * parts.get(pooling, 1)
