"""What the measures ask of their arrays."""

import numpy as np


def finite(name, values, rank):
    """An array of a rank, without NaN or infinite values.

    Args:
        name: What the error calls it.
        values: What should be such an array.
        rank: Its number of axes.

    Raises:
        ValueError: If it is not.
    """
    values = np.asarray(values)
    if values.ndim != rank or 0 in values.shape:
        raise ValueError(
            f"{name} is an array of rank {rank} with values; received shape "
            f"{values.shape}."
        )
    if not np.isfinite(values).all():
        raise ValueError(
            f"{name} holds {np.sum(~np.isfinite(values))} NaN or infinite values. "
            "Look for a diverged training or a broken clip."
        )
    return values


def check_same_length(name, values, other_name, other):
    """Raises a ValueError where two arrays are not of the same clips."""
    if values.shape[:1] != other.shape[:1]:
        raise ValueError(
            f"{name} and {other_name} are of the same clips; received shapes "
            f"{values.shape} and {other.shape}."
        )
