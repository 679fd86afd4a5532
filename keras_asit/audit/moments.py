"""Means and deviations of parts, merged into those of the whole."""

import math

import numpy as np


class Moments:
    """Count, mean and sum of squared distances from it, merged without loss.

    Sums of squares lose digits where the mean is far from 0; parts that are merged by
    their means do not. All is float64.

    Args:
        count: Number of rows.
        mean: `[F]` their means.
        squares: `[F]` their summed squared distances from the means.

    Reference:
        Chan, Golub, LeVeque (1983), Algorithms for computing the sample variance.
    """

    def __init__(self, count=0, mean=0.0, squares=0.0):
        self.count = count
        self.mean = np.asarray(mean, "float64")
        self.squares = np.asarray(squares, "float64")

    @classmethod
    def of(cls, rows):
        """The moments of the rows of an array `[T, F]`."""
        if not len(rows):
            return cls()
        mean = rows.mean(axis=0, dtype="float64")
        return cls(len(rows), mean, np.square(rows - mean).sum(axis=0))

    def merged(self, other):
        """The moments of the rows of both."""
        count = self.count + other.count
        if not count:
            return self
        share = other.count / count
        gap = other.mean - self.mean
        mean = self.mean + gap * share
        squares = self.squares + other.squares + gap**2 * self.count * share
        return Moments(count, mean, squares)

    @property
    def std(self):
        """Standard deviations `[F]` of the columns."""
        return np.sqrt(self.squares / self.count)

    def of_all_values(self):
        """Mean and standard deviation over rows and columns together."""
        mean = self.mean.mean()
        between = np.square(self.mean - mean).mean()
        return float(mean), float(math.sqrt(self.squares.mean() / self.count + between))


def standard_error(counts, means, clips):
    """How far the mean of some clips may be from that of all: one deviation.

    Frames of a clip are alike, so clips are what is drawn.

    Args:
        counts: Frames `[n]` of each clip that was drawn.
        means: Mean `[n]` of each.
        clips: How many clips there are.
    """
    mean = np.average(means, weights=counts)
    spread = math.sqrt(np.square(counts * (means - mean)).sum()) / counts.sum()
    return spread * math.sqrt(max(0.0, 1 - len(means) / clips))
