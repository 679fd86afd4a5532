"""The order in which clips are drawn in an epoch."""

import numpy as np


class InOrder:
    """The clips as they are numbered, in every epoch.

    Args:
        indices: Numbers of the clips.
    """

    def __init__(self, indices):
        self.indices = np.asarray(indices, "int64")

    def __len__(self):
        return len(self.indices)

    def __call__(self, seed, epoch):
        return self.indices


class Shuffled(InOrder):
    """Every clip once in an epoch, in an order of its own."""

    def __call__(self, seed, epoch):
        return np.random.default_rng((seed, epoch)).permutation(self.indices)


class Balanced(InOrder):
    """As many clips as there are, drawn again and again so that classes come alike.

    A clip is drawn, with replacement, with a weight that is the sum over its labels
    of one over the number of clips that have the label: what AST does for the
    unbalanced part of AudioSet, where the largest class has thousands of times the
    clips of the smallest.

    Args:
        targets: A `Targets`. Clips without a label are not drawn.

    Raises:
        ValueError: where no clip has a label.

    Reference:
        `gen_weight_file.py` of https://github.com/YuanGongND/ast, whose weights differ
        by a constant factor, and by 0.01 clips a label.
    """

    def __init__(self, targets):
        super().__init__(range(len(targets)))
        counts = np.bincount(targets.indices, minlength=1)
        weight_of = 1.0 / np.maximum(counts, 1)
        weights = np.zeros(len(targets))
        owners = np.repeat(self.indices, np.diff(targets.indptr))
        np.add.at(weights, owners, weight_of[targets.indices])
        self.cumulative = np.cumsum(weights)
        if not len(weights) or self.cumulative[-1] <= 0:
            raise ValueError(
                "Expected labelled clips for balanced sampling. Received: no label at "
                "all. Leave balanced=False, or read the manifest with its labels"
            )

    def __call__(self, seed, epoch):
        drawn = np.random.default_rng((seed, epoch)).random(len(self))
        return np.searchsorted(
            self.cumulative, drawn * self.cumulative[-1], side="right"
        )
