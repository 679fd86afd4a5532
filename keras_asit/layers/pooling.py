"""From tokens to one vector a clip."""

from keras import ops

POOLINGS = ("cls", "mean", "cls+mean")


def pool(tokens, pooling):
    """One vector a clip from tokens `(B, 1 + P, D)`.

    Args:
        tokens: Class token first.
        pooling: `"cls"` for the class token, `"mean"` for the mean of the data
            tokens, `"cls+mean"` for both, one behind the other.
    """
    if pooling == "cls":
        return tokens[:, 0]
    mean = ops.mean(tokens[:, 1:], axis=1)
    return mean if pooling == "mean" else ops.concatenate([tokens[:, 0], mean], -1)
