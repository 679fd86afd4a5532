"""From tokens to one vector a clip."""

from keras import ops

POOLINGS = ("cls", "mean", "cls+mean", "bands", "statistics", "grid")
SMALLEST_VARIANCE = 1e-6  # below it a deviation has no gradient that can be trusted


def pool(tokens, pooling, grid=None):
    """One vector a clip from tokens `(B, 1 + P, D)`.

    Args:
        tokens: Class token first, then the patches, time-major.
        pooling: `"cls"` for the class token, `"mean"` for the mean of the data
            tokens, `"cls+mean"` for both, one behind the other. `"bands"` keeps the
            bands of frequency apart: the mean over time of each, one behind the other
            (as MSM-MAE and M2D are evaluated). `"statistics"` adds how tokens vary in
            time: mean, deviation and mean absolute difference of neighbours of each
            band. `"grid"` keeps time apart as well: all data tokens one behind the
            other, for clips that begin together, as words do.
        grid: Patches along time and frequency, for the last three.

    Returns:
        `(B, pooled_width(pooling, D, grid))`.
    """
    if pooling == "cls":
        return tokens[:, 0]
    data = tokens[:, 1:]
    if pooling in ("bands", "statistics", "grid"):
        width = tokens.shape[-1]
        if pooling != "grid":
            data = ops.reshape(data, (-1, *grid, width))
            is_mean = pooling == "bands"
            data = ops.mean(data, axis=1) if is_mean else _statistics(data)
        return ops.reshape(data, (-1, pooled_width(pooling, width, grid)))
    mean = ops.mean(data, axis=1)
    return mean if pooling == "mean" else ops.concatenate([tokens[:, 0], mean], -1)


def _statistics(data):
    """`(B, 3, bands, D)` of `(B, steps, bands, D)`."""
    mean, variance = ops.moments(data, axes=[1])
    deviation = ops.sqrt(ops.maximum(variance, SMALLEST_VARIANCE))
    if data.shape[1] == 1:
        change = ops.zeros_like(mean)
    else:
        change = ops.mean(ops.abs(data[:, 1:] - data[:, :-1]), axis=1)
    return ops.stack([mean, deviation, change], axis=1)


def pooled_width(pooling, width, grid):
    """Length of the vector that `pool` makes of tokens of a width D.

    Args:
        pooling: As of `pool`.
        width: D.
        grid: Patches along time and frequency.
    """
    bands, patches = grid[1], grid[0] * grid[1]
    parts = {"cls+mean": 2, "bands": bands, "statistics": 3 * bands, "grid": patches}
    return width * parts.get(pooling, 1)
