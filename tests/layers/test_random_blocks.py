import numpy as np
import pytest
from keras import ops

from keras_asit.layers.random_blocks import (
    coverage_probability,
    place_blocks,
    sufficient_draws,
    tiling,
    union_reaching,
)

GRID, LARGEST = (12, 10), (4, 3)


def sequential_union(blocks, target, grid):
    """Adds blocks one by one until their union covers the target."""
    union, number = np.zeros(grid, bool), 0
    while union.sum() < target:
        t0, t1, f0, f1 = blocks[number]
        union[t0:t1, f0:f1] = True
        number += 1
    return union, number


def test_coverage_probability_by_hand():
    # Intervals of 1 or 2 in three positions: six equally likely ones cover
    # {0}, {1}, {2}, {0, 1}, {1, 2} and {2} (clipped).
    np.testing.assert_allclose(coverage_probability(3, 2), [2 / 6, 3 / 6, 3 / 6])


def test_tiling_covers_the_grid_with_allowed_blocks():
    tiles = tiling(GRID, LARGEST)
    assert len(tiles) == 3 * 4
    assert np.all(tiles[:, 1] - tiles[:, 0] == LARGEST[0])
    assert np.all(tiles[:, 3] - tiles[:, 2] == LARGEST[1])
    union, _ = sequential_union(tiles, GRID[0] * GRID[1], GRID)
    assert union.all()


def test_sufficient_draws():
    draws = sufficient_draws(GRID, LARGEST, 0.7)
    total = draws + len(tiling(GRID, LARGEST))
    assert total & (total - 1) == 0
    assert sufficient_draws(GRID, LARGEST, 0.97) > draws
    assert sufficient_draws((200, 200), (1, 1), 0.7) is None


def test_place_blocks_by_hand():
    draws = np.array([[[0.5, 0.99, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]]], "float32")
    blocks = ops.convert_to_numpy(place_blocks(draws, GRID, LARGEST))
    # Corner 0.5 x 12, side 1 + 0.99 x 4 rounded down; a draw that was rounded up
    # to 1 stays on the grid.
    np.testing.assert_array_equal(blocks[0, 0], [6, 10, 0, 1])
    np.testing.assert_array_equal(blocks[0, 1], [11, 15, 9, 12])
    np.testing.assert_array_equal(blocks[0, 2:], tiling(GRID, LARGEST))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.7, 0.99, 1.0])
def test_union_is_that_of_the_sequential_loop(share):
    grid, largest = (48, 32), (14, 9)
    draws = np.random.default_rng(0).uniform(size=(400, 112, 4)).astype("float32")
    blocks = place_blocks(draws, grid, largest)
    target = np.full(400, share * grid[0] * grid[1], "float32")
    union, number = union_reaching(blocks, ops.convert_to_tensor(target), grid)
    union, number = ops.convert_to_numpy(union), ops.convert_to_numpy(number)
    for row, row_blocks in enumerate(ops.convert_to_numpy(blocks)[:20]):
        expected, expected_number = sequential_union(row_blocks, target[row], grid)
        np.testing.assert_array_equal(union[row], expected)
        assert number[row] == expected_number
