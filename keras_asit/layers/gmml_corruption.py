"""Group masked model learning: the corruption the student has to undo."""

import math
from numbers import Real

import keras
from keras import ops

from keras_asit.layers.random_blocks import (
    place_blocks,
    sufficient_draws,
    union_reaching,
)
from keras_asit.replicas import ReplicaSeedGenerator


def _bounds(ratio):
    """The `(low, high)` of a share of pixels given as a number or a pair."""
    return tuple(ratio) if isinstance(ratio, (tuple, list)) else (ratio, ratio)


def _is_share(x):
    return isinstance(x, Real) and 0 <= x <= 1


def _is_ratio(x):
    pair = _bounds(x)
    return len(pair) == 2 and all(map(_is_share, pair)) and pair[0] <= pair[1]


_RATIO = (
    _is_ratio,
    "a share of the pixels in [0, 1], or a pair (low, high) of them with low <= high, "
    "for example 0.7 or (0.5, 0.7)",
)

# Whether an argument is right, and what is, in words.
RULES = {
    "ratio": _RATIO,
    "alien_ratio": _RATIO,
    "alien_probability": (
        _is_share,
        "in [0, 1], for example 0.5 (give 0 for no alien content)",
    ),
    "max_block": (
        lambda x: _is_share(x) and x > 0,
        "a share of the spectrogram's sides in (0, 1], for example 0.3",
    ),
    "align": (
        lambda x: isinstance(x, Real) and x >= 1 and x % 1 == 0,
        "a whole number of pixels, 1 or more (1: unaligned)",
    ),
    "noise_mean": (
        lambda x: isinstance(x, Real) and math.isfinite(x),
        "a finite number (give 0 for normalised data)",
    ),
    "noise_std": (
        lambda x: isinstance(x, Real) and 0 <= x < math.inf,
        "a finite number of 0 or more (give 1 for normalised data)",
    ),
}


def _check_choice(name, value, choices):
    if value not in choices:
        raise ValueError(f"{name} is one of {choices}; received {value!r}.")


@keras.saving.register_keras_serializable("keras_asit")
class GMMLCorruption(keras.layers.Layer):
    """Replaces random blocks of spectrograms until a share of them is changed.

    Group masked model learning (Section 3.1): the student must recover groups of
    connected pixels from their context. Blocks are drawn until their union
    reaches the target; the last one may overshoot it. A view gets one kind of
    corruption: its blocks are filled with zeros or noise, or with the same
    region of another clip ("alien" content). It corrupts on every call; there
    is no `training` argument.

    The number of draws is fixed when the layer is built and is enough for the
    target. Should they fall short all the same, which concerns targets close to
    1, blocks of the largest size are added row by row.

    Args:
        ratio: Share of the pixels changed by zeros or noise, or `(low, high)`,
            from which a target is drawn uniformly for each view.
        alien_ratio: The same for alien content.
        alien_probability: Probability that a view gets alien content. The paper
            does not give it; 0.5 is the authors'.
        max_block: Longest side of a block as a share of the spectrogram's side.
        align: Corners and sides of the blocks are multiples of this many pixels:
            1 for unaligned blocks, the patch size for aligned ones.
        fill: `"zeros"` or `"noise"`, drawn from N(`noise_mean`, `noise_std`).
        seed: Integer seed of the draws, or None for a random one.
        alien_donor: `"other"` takes another clip of the batch, each equally
            likely; `"any"` any clip, itself included. In a batch of one, `"other"`
            finds none, and the view is corrupted by `ratio` and `fill` instead.
        shape: `"block"`, or `"time"` for blocks over all frequencies, or
            `"frequency"` for blocks over all frames.
        noise_mean: Mean of the noise.
        noise_std: Standard deviation of the noise.

    Input shape:
        Clean spectrograms `(B, T, F)`, frames then mel bins, or views of clips
        `(B, V, T, F)`. Draws are independent for each clip and view; a donor is
        another clip's view of the same index.

    Output shape:
        Two tensors of the input's shape: the corrupted spectrograms, and the
        mask, 1 where a pixel was changed and 0 elsewhere.

    Raises:
        ValueError: If an argument is outside its range, or if the spectrogram's
            sides are unknown, do not divide by `align`, or need too many blocks.

    Example:

    >>> clean = keras.random.normal((4, 592, 128))
    >>> corrupted, mask = GMMLCorruption(ratio=0.7, seed=0)(clean)

    Reference:
        Section 3.1 of the paper and Atito et al., GMML is all you need, 2022.
        The authors' code draws the target of zero corruption from U(0.5, 0.7)
        (here `ratio=(0.5, 0.7)`), takes any clip as donor, itself included
        (`alien_donor="any"`), draws noise with the mean and standard deviation of
        unnormalised data (`noise_mean`, `noise_std`), never draws the last
        corner nor the largest side, and rounds aligned sides to the nearest
        multiple, so that a block may be empty.
    """

    def __init__(
        self,
        ratio=0.7,
        alien_ratio=0.3,
        alien_probability=0.5,
        max_block=0.3,
        align=1,
        fill="zeros",
        seed=None,
        alien_donor="other",
        shape="block",
        noise_mean=0.0,
        noise_std=1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check_choice("fill", fill, ("zeros", "noise"))
        _check_choice("alien_donor", alien_donor, ("other", "any"))
        _check_choice("shape", shape, ("block", "time", "frequency"))
        self.ratio = ratio
        self.alien_ratio = alien_ratio
        self.alien_probability = alien_probability
        self.max_block = max_block
        self.align = align
        self.fill = fill
        self.seed = seed
        self.alien_donor = alien_donor
        self.shape = shape
        self.noise_mean = noise_mean
        self.noise_std = noise_std
        for name, (is_right, words) in RULES.items():
            if not is_right(value := getattr(self, name)):
                raise ValueError(f"{name} is {words}; received {value!r}.")
        self.align = int(align)
        self._ratios = tuple(map(float, _bounds(ratio)))
        self._alien_ratios = tuple(map(float, _bounds(alien_ratio)))
        self.seed_generator = ReplicaSeedGenerator(seed)

    def build(self, input_shape):
        if len(input_shape) not in (3, 4):
            raise ValueError(
                "GMMLCorruption expects spectrograms (B, T, F) or views of clips "
                f"(B, V, T, F); received shape {tuple(input_shape)}."
            )
        sides = tuple(input_shape[-2:])
        self._cell = (
            sides[0] if self.shape == "frequency" else self.align,
            sides[1] if self.shape == "time" else self.align,
        )
        if any(not side or side % cell for side, cell in zip(sides, self._cell)):
            raise ValueError(
                f"frames and mel bins must be known and divide by "
                f"align={self.align}; received shape {tuple(input_shape)}. Cut or "
                f"pad the spectrograms (num_frames of LogMelFilterbank), or use "
                f"align=1."
            )
        self._grid = tuple(side // cell for side, cell in zip(sides, self._cell))
        self._largest = tuple(
            max(1, int(self.max_block * side + 1e-6)) for side in self._grid
        )
        self._num_draws = sufficient_draws(
            self._grid, self._largest, max(self._ratios[1], self._alien_ratios[1])
        )
        if self._num_draws is None:
            raise ValueError(
                f"blocks of at most max_block={self.max_block} of each side are too "
                f"small to cover the target in reasonable time. Raise max_block or "
                f"align, or lower the ratios."
            )
        self.input_spec = keras.InputSpec(
            min_ndim=3, max_ndim=4, axes={-2: sides[0], -1: sides[1]}
        )

    def call(self, clean):
        flat = ops.reshape(clean, (-1, *clean.shape[-2:]))
        views = clean.shape[1] if len(clean.shape) == 4 else 1
        draws = keras.random.uniform(
            (3, ops.shape(flat)[0]), dtype="float32", seed=self.seed_generator
        )
        alien, donor = self._draw_donors(draws[0], draws[1], views)
        changed = self._draw_mask(alien, draws[2])
        replacement = self._fill(flat)
        if self.alien_probability > 0:
            donated = ops.take(flat, donor, axis=0)
            replacement = ops.where(alien[:, None, None], donated, replacement)
        corrupted = ops.where(changed, replacement, flat)
        mask = ops.cast(changed, corrupted.dtype)
        shape = ops.shape(clean)
        return ops.reshape(corrupted, shape), ops.reshape(mask, shape)

    def _draw_donors(self, kind_draw, donor_draw, views):
        """Which rows of the `(B V, T, F)` batch get alien content, and from where."""
        rows = ops.shape(donor_draw)[0]
        clips = rows // views
        row = ops.arange(rows, dtype="int32")
        alien = kind_draw < self.alien_probability
        if self.alien_donor == "any":
            choices, first = clips, 0
        else:
            choices, first = clips - 1, 1
            alien = ops.logical_and(alien, ops.full_like(row, choices) > 0)
        choices = ops.full_like(row, choices)
        offset = ops.cast(donor_draw * ops.cast(choices, "float32"), "int32")
        offset = ops.minimum(offset, choices - 1) + first
        return alien, (row + offset * views) % ops.full_like(row, rows)

    def _draw_mask(self, alien, target_draw):
        """Booleans `(N, T, F)`: the union of blocks drawn for each row."""
        low, high = (
            ops.where(alien, alien_bound, bound)
            for alien_bound, bound in zip(self._alien_ratios, self._ratios)
        )
        cells = self._grid[0] * self._grid[1]
        target = (low + target_draw * (high - low)) * cells
        draws = keras.random.uniform(
            (ops.shape(target)[0], self._num_draws, 4),
            dtype="float32",
            seed=self.seed_generator,
        )
        blocks = place_blocks(draws, self._grid, self._largest)
        changed, _ = union_reaching(blocks, target, self._grid)
        changed = ops.repeat(changed, self._cell[0], axis=1)
        return ops.repeat(changed, self._cell[1], axis=2)

    def _fill(self, flat):
        if self.fill == "zeros":
            return ops.zeros_like(flat)
        return keras.random.normal(
            ops.shape(flat),
            mean=self.noise_mean,
            stddev=self.noise_std,
            dtype=flat.dtype,
            seed=self.seed_generator,
        )

    def compute_output_shape(self, input_shape):
        return input_shape, input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "ratio": self.ratio,
            "alien_ratio": self.alien_ratio,
            "alien_probability": self.alien_probability,
            "max_block": self.max_block,
            "align": self.align,
            "fill": self.fill,
            "seed": self.seed,
            "alien_donor": self.alien_donor,
            "shape": self.shape,
            "noise_mean": self.noise_mean,
            "noise_std": self.noise_std,
        }
