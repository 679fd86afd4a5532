"""Random blocks on a grid: how many are enough, and the union that reaches a target.

A block is four integers, its first and past-the-last cell in time, then in
frequency. It may run over the edge of the grid, where it does not count.
"""

import numpy as np
from keras import ops

_MOST_BLOCKS = 8192  # indicators of so many blocks still fit beside a batch


def coverage_probability(size, largest):
    """Probability that one random interval covers each position of an axis.

    The interval starts anywhere and is 1 to `largest` long, both uniform; what
    runs over the end is lost, so the first positions are covered less often.

    Args:
        size: Number of positions.
        largest: Longest interval, in positions.

    Returns:
        Array `(size,)`.
    """
    lengths = np.arange(1, largest + 1)[:, None]
    starts_that_cover = np.minimum(lengths, np.arange(1, size + 1))
    return starts_that_cover.mean(axis=0) / size


def tiling(grid, largest):
    """Blocks of the largest size that cover the whole grid, row by row.

    Args:
        grid: Cells in time and in frequency.
        largest: Longest sides of a block, in cells.

    Returns:
        Integer array `(tiles, 4)`: first and past-the-last cell in time, then
        in frequency.
    """
    tiles = [
        (t, t + largest[0], f, f + largest[1])
        for t in range(0, grid[0], largest[0])
        for f in range(0, grid[1], largest[1])
    ]
    return np.array(tiles, "int32")


def sufficient_draws(grid, largest, share):
    """Number of random blocks whose union practically always reaches `share`.

    Such that they leave uncovered, in expectation, a third of what they may (or
    2 % for shares near 1). With the `tiling` they make a power of two.

    Args:
        grid: Cells in time and in frequency.
        largest: Longest sides of a block, in cells.
        share: Share of the grid to cover, in [0, 1].

    Returns:
        The number, or None if it is unreasonably large.
    """
    missed = 1 - np.outer(*map(coverage_probability, grid, largest))
    tiles = len(tiling(grid, largest))
    total = 2
    while total <= _MOST_BLOCKS:
        draws = total - tiles
        if draws > 0 and (missed**draws).mean() <= max((1 - share) / 3, 0.02):
            return draws
        total *= 2
    return None


def place_blocks(draws, grid, largest):
    """Blocks from uniform numbers, and after them the `tiling` of the grid.

    Corners are uniform over the grid, sides uniform from 1 to the largest.

    Args:
        draws: Uniform numbers in [0, 1), `(N, draws, 4)`: corner in time, side
            in time, corner in frequency, side in frequency.
        grid: Cells in time and in frequency.
        largest: Longest sides of a block, in cells.

    Returns:
        Integers `(N, draws + tiles, 4)`.
    """
    choices = np.array([grid[0], largest[0], grid[1], largest[1]])
    drawn = ops.cast(draws * ops.cast(choices, "float32"), "int32")
    drawn = ops.minimum(drawn, ops.cast(choices - 1, "int32"))  # draws may round to 1
    corner, side = drawn[:, :, 0::2], drawn[:, :, 1::2] + 1
    blocks = ops.stack([corner, corner + side], axis=-1)
    blocks = ops.reshape(blocks, (-1, draws.shape[1], 4))
    tiles = ops.cast(tiling(grid, largest)[None], "int32")
    tiles = ops.repeat(tiles, ops.shape(draws)[0], axis=0)
    return ops.concatenate([blocks, tiles], axis=1)


def covering_blocks(blocks, grid):
    """How many of the blocks cover each cell: `(N, K, 4)` -> `(N, *grid)`.

    A block is the outer product of its indicators along time and frequency, so
    the sum over blocks is one matrix product.
    """
    time, frequency = ops.arange(grid[0]), ops.arange(grid[1])
    in_time = ops.logical_and(  # (N, time, K)
        time[:, None] >= blocks[:, None, :, 0], time[:, None] < blocks[:, None, :, 1]
    )
    in_frequency = ops.logical_and(  # (N, K, frequency)
        frequency >= blocks[:, :, 2:3], frequency < blocks[:, :, 3:4]
    )
    return ops.matmul(ops.cast(in_time, "float32"), ops.cast(in_frequency, "float32"))


def union_reaching(blocks, target, grid):
    """Union of the fewest first blocks that cover at least `target` cells.

    The result is that of the sequential loop "add blocks until the target is
    reached". The area of the union grows with every block, so their number is
    found bit by bit, with shapes that do not depend on the draws: half of the
    blocks are added if the union stays short of the target, then a quarter,
    and so on, and the block after the last one found is the one that gets there.

    Args:
        blocks: Integers `(N, K, 4)` as of `tiling`, K a power of two; parts
            beyond the grid do not count. All K together reach the target.
        target: Number of cells `(N,)`; 0 takes no block at all.
        grid: Cells in time and in frequency.

    Returns:
        The union, booleans `(N, *grid)`, and the number of blocks in it `(N,)`.
    """
    total = blocks.shape[1]
    flat = ops.reshape(blocks, (-1, 4))
    origin = ops.arange(ops.shape(blocks)[0], dtype="int32") * total

    def covered_by(first, count):
        index = (origin + first)[:, None] + ops.arange(count, dtype="int32")
        return covering_blocks(ops.take(flat, index, axis=0), grid)

    number = ops.zeros_like(origin)
    covered = 0.0
    step = total // 2
    while step:
        candidate = covered + covered_by(number, step)
        area = ops.sum(ops.cast(candidate > 0, "float32"), axis=(1, 2))
        short = area < target - 1e-3  # against rounding of the target
        covered = ops.where(short[:, None, None], candidate, covered)
        number = ops.where(short, number + step, number)
        step //= 2
    wanted = target > 0
    union = (covered + covered_by(number, 1)) > 0
    union = ops.logical_and(union, wanted[:, None, None])
    return union, ops.where(wanted, number + 1, 0)
