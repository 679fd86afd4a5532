import keras
import numpy as np
import pytest
from keras import ops
from scipy import stats

from keras_asit.layers.gmml_corruption import GMMLCorruption
from keras_asit.layers.random_blocks import place_blocks, union_reaching
from layer_checks import check_layer

GRID = (48, 32)
LARGEST = (14, 9)  # 30 % of each side, rounded down
NAN = float("nan")
ROWS = 400  # 400 or 8 views in most tests, so that JAX compiles each operation once


def spectrograms(*leading):
    values = np.random.default_rng(1).normal(size=(*leading, *GRID))
    return values.astype("float32")


def corrupt(clean, **options):
    """Corrupted spectrograms and mask of a new layer, as arrays."""
    options = {"seed": 3, **options}
    corrupted, mask = GMMLCorruption(**options)(clean)
    return ops.convert_to_numpy(corrupted), ops.convert_to_numpy(mask)


def sequential_corruption(rng, share):
    """The definition (SPEC section 4) as a plain loop: mask and number of blocks."""
    mask, number = np.zeros(GRID), 0
    while mask.mean() < share:
        t, f = (rng.integers(0, side) for side in GRID)
        height, width = (rng.integers(1, side + 1) for side in LARGEST)
        mask[t : t + height, f : f + width] = 1
        number += 1
    return mask, number


@pytest.mark.parametrize("leading", [(8,), (4, 2)])
def test_layer_properties(leading):
    shape = (*leading, *GRID)
    check_layer(
        GMMLCorruption,
        {"ratio": (0.5, 0.7), "fill": "noise", "seed": 1},
        input_shape=shape,
        expected_output_shape=(shape, shape),
        expected_num_seeds=1,
    )


def test_config_keeps_every_argument():
    options = {
        "ratio": (0.5, 0.7),
        "alien_ratio": 0.2,
        "alien_probability": 0.4,
        "max_block": 0.25,
        "align": 16,
        "fill": "noise",
        "seed": 7,
        "alien_donor": "any",
        "shape": "time",
        "noise_mean": 1.0,
        "noise_std": 2.0,
    }
    layer = GMMLCorruption(**options)
    revived = GMMLCorruption.from_config(layer.get_config())
    for name, value in options.items():
        assert getattr(revived, name) == value


@pytest.mark.large_on_jax
def test_zeros_change_the_masked_pixels_only():
    clean = spectrograms(ROWS // 2, 2)
    corrupted, mask = corrupt(clean, alien_probability=0.0)
    assert set(np.unique(mask)) == {0.0, 1.0}
    np.testing.assert_array_equal(corrupted, clean * (1 - mask))


# The second are the sides of the paper, and 30 % of them, rounded down.
@pytest.mark.parametrize(
    ("rows", "sides", "largest"), [(ROWS, GRID, LARGEST), (4, (592, 128), (177, 38))]
)
@pytest.mark.parametrize(("alien_probability", "share"), [(0.0, 0.7), (1.0, 0.3)])
def test_target_is_reached_and_overshot_by_less_than_a_block(
    rows, sides, largest, alien_probability, share
):
    clean = np.ones((rows, *sides), "float32")
    _, mask = corrupt(clean, alien_probability=alien_probability)
    area = mask.sum(axis=(1, 2))
    target = share * sides[0] * sides[1]
    assert np.all(area >= target)
    assert np.all(area < target + largest[0] * largest[1])


@pytest.mark.large_on_jax
@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_nothing_and_everything(ratio):
    clean = spectrograms(8)
    corrupted, mask = corrupt(
        clean, ratio=ratio, alien_ratio=0.7, alien_probability=0.0
    )
    assert np.all(mask == ratio)
    np.testing.assert_array_equal(corrupted, clean * (1 - ratio))


def test_range_of_ratios_gives_each_view_its_target():
    _, mask = corrupt(spectrograms(ROWS), ratio=(0.1, 0.7), alien_probability=0.0)
    share = mask.mean(axis=(1, 2))
    overshoot = LARGEST[0] * LARGEST[1] / (GRID[0] * GRID[1])
    assert share.min() >= 0.1 and share.max() <= 0.7 + overshoot
    assert stats.kstest(share - share.mean(), "uniform", (-0.3, 0.6)).pvalue > 0.01


def test_draws_differ_between_clips_views_and_calls():
    layer = GMMLCorruption(seed=0)
    clean = spectrograms(ROWS // 2, 2)
    masks = [ops.convert_to_numpy(layer(clean)[1]) for _ in range(2)]
    views = np.concatenate(masks).reshape(-1, *GRID)
    assert len(np.unique(views, axis=0)) == len(views)


def test_seed_decides_the_draws():
    clean = spectrograms(4, 2)
    first, again = (corrupt(clean, fill="noise") for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert np.any(corrupt(clean, seed=4)[1] != first[1])


def test_alien_content_is_the_same_region_of_another_clip():
    clips = ROWS // 2
    clean = spectrograms(clips, 2)
    corrupted, mask = corrupt(clean, alien_probability=1.0)
    assert 0.3 <= mask.mean() < 0.4
    np.testing.assert_array_equal(corrupted[mask == 0], clean[mask == 0])
    for clip in range(10):
        for view in range(2):
            changed = mask[clip, view] == 1
            content = corrupted[clip, view][changed]
            same = np.all(clean[:, view][:, changed] == content, axis=1)
            donors = list(np.flatnonzero(same))
            assert len(donors) == 1 and donors != [clip]


def donor_offsets(**options):
    """Where each clip's donor is, counted from the clip; clip i is constant, i + 1."""
    clips = np.arange(ROWS)
    clean = np.ones((ROWS, *GRID), "float32") * (clips + 1)[:, None, None]
    corrupted, mask = corrupt(clean, alien_probability=1.0, **options)
    donors = (corrupted * mask).max(axis=(1, 2)).astype(int) - 1
    return (donors - clips) % ROWS


def test_every_other_clip_is_an_equally_likely_donor():
    offsets = np.concatenate([donor_offsets(seed=seed) for seed in range(5)])
    assert np.all(offsets > 0)
    assert stats.kstest(offsets / ROWS, "uniform").pvalue > 0.01


def test_any_clip_may_be_its_own_donor():
    offsets = [donor_offsets(alien_donor="any", seed=seed) for seed in range(5)]
    assert 0 < np.sum(np.concatenate(offsets) == 0) < 20  # 5 are expected


@pytest.mark.parametrize("probability", [0.0, 0.5, 1.0])
def test_share_of_alien_views(probability):
    _, mask = corrupt(spectrograms(ROWS), alien_probability=probability)
    alien = mask.mean(axis=(1, 2)) < 0.5
    assert abs(alien.mean() - probability) < (0.08 if probability == 0.5 else 1e-9)


def test_batch_of_one_has_no_other_clip():
    clean = spectrograms(1, 8)
    corrupted, mask = corrupt(clean, alien_probability=1.0)
    assert np.all(mask.mean(axis=(2, 3)) >= 0.7)
    np.testing.assert_array_equal(corrupted, clean * (1 - mask))
    corrupted, mask = corrupt(clean, alien_probability=1.0, alien_donor="any")
    assert np.all(mask.mean(axis=(2, 3)) < 0.5)
    np.testing.assert_array_equal(corrupted, clean)


def test_noise_has_the_mean_and_deviation_asked_for():
    corrupted, mask = corrupt(
        spectrograms(8),
        alien_probability=0.0,
        fill="noise",
        noise_mean=2.0,
        noise_std=0.5,
    )
    noise = corrupted[mask == 1]
    assert abs(noise.mean() - 2) < 0.03
    assert abs(noise.std() - 0.5) < 0.03
    assert len(np.unique(noise)) > 0.9 * len(noise)


@pytest.mark.large_on_jax
# Axes of a mask [8, 3, 16, 2, 16], cut into patches, along which a block of the kind
# is constant and along which it is not, and the share of the pixels that the largest
# block has: a patch of the 3 x 2, 14 of the 48 frames, 9 of the 32 bins.
@pytest.mark.parametrize(
    ("options", "constant", "varied", "largest"),
    [
        ({"align": 16}, (2, 4), (1, 3), 1 / 6),
        ({"shape": "time"}, (3, 4), (2,), 14 / 48),
        ({"shape": "frequency"}, (1, 2), (4,), 9 / 32),
        ({}, (), (2, 4), (14 * 9) / (48 * 32)),
    ],
)
def test_alignment_and_shape_of_the_blocks(options, constant, varied, largest):
    _, mask = corrupt(spectrograms(8), alien_probability=0.0, **options)
    share = mask.mean(axis=(1, 2))
    assert np.all(share >= 0.7) and np.all(share < 0.7 + largest)
    parts = mask.reshape(8, 3, 16, 2, 16)
    assert np.all(parts.min(axis=constant) == parts.max(axis=constant))
    for axis in varied:
        assert np.any(parts.min(axis=axis) != parts.max(axis=axis))


def test_law_of_the_masks_is_that_of_the_sequential_loop():
    rng = np.random.default_rng(0)
    expected = np.stack([sequential_corruption(rng, 0.7)[0] for _ in range(1200)])
    masks = [
        corrupt(spectrograms(ROWS), alien_probability=0.0, seed=seed)[1]
        for seed in range(3)
    ]
    mask = np.concatenate(masks)
    areas = [m.sum(axis=(1, 2)) for m in (mask, expected)]
    assert stats.ks_2samp(*areas).pvalue > 0.01
    for axes in [(0, 1), (0, 2)]:
        np.testing.assert_allclose(mask.mean(axes), expected.mean(axes), atol=0.04)
    # Edges between changed and unchanged pixels tell of the blocks' number and sides.
    for axis in (1, 2):
        edges = [
            np.abs(np.diff(m, axis=axis)).sum(axis=(1, 2)) for m in (mask, expected)
        ]
        assert stats.ks_2samp(*edges).pvalue > 0.01


def test_law_of_the_blocks_is_that_of_the_sequential_loop():
    draws = keras.random.uniform((ROWS, 112, 4), seed=0)
    blocks = place_blocks(draws, GRID, LARGEST)
    target = ops.full((ROWS,), 0.7 * GRID[0] * GRID[1])
    number = ops.convert_to_numpy(union_reaching(blocks, target, GRID)[1])
    rng = np.random.default_rng(0)
    expected = [sequential_corruption(rng, 0.7)[1] for _ in range(800)]
    assert stats.ks_2samp(number, expected).pvalue > 0.01
    blocks = ops.convert_to_numpy(blocks)[:, :112].reshape(-1, 4)
    for axis in range(2):
        corner = blocks[:, 2 * axis]
        side = blocks[:, 2 * axis + 1] - corner
        for values, choices in [(corner, GRID[axis]), (side - 1, LARGEST[axis])]:
            found = np.bincount(values, minlength=choices)
            assert len(found) == choices
            assert stats.chisquare(found).pvalue > 0.01


def test_compiled_draws_and_moves_on():
    clean = ops.convert_to_tensor(spectrograms(4, 2))
    layer = GMMLCorruption(seed=0)
    layer.build(clean.shape)
    run = compiled(layer)
    (corrupted, mask), (_, second) = run(clean), run(clean)
    mask, second = ops.convert_to_numpy(mask), ops.convert_to_numpy(second)
    assert np.all(mask.mean(axis=(2, 3)) >= 0.3)
    assert np.any(mask != second)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(corrupted)[mask == 0],
        ops.convert_to_numpy(clean)[mask == 0],
    )


def compiled(layer):
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(layer, jit_compile=True)
    if keras.backend.backend() != "jax":
        return layer
    import jax

    step = jax.jit(lambda state, clean: layer.stateless_call([], state, clean))
    state = [variable.value for variable in layer.non_trainable_variables]

    def run(clean):
        nonlocal state
        outputs, state = step(state, clean)
        return outputs

    return run


def test_unknown_batch_size_in_a_graph():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("only TensorFlow graphs have unknown sizes")
    import tensorflow as tf

    layer = GMMLCorruption(alien_probability=1.0, fill="noise", seed=0)
    signature = [tf.TensorSpec((None, 2, *GRID), "float32")]
    graph = tf.function(layer, input_signature=signature)
    for clips, low, high in [(3, 0.3, 0.5), (1, 0.7, 0.9)]:
        share = graph(spectrograms(clips, 2))[1].numpy().mean(axis=(2, 3))
        assert np.all(share >= low) and np.all(share < high)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"ratio": 1.1}, "ratio is a share"),
        ({"ratio": (0.7, 0.5)}, "low <= high"),
        ({"ratio": (0.1, 0.2, 0.3)}, "pair"),
        ({"ratio": "a"}, "ratio is a share .* received 'a'"),
        ({"ratio": (0.5, None)}, r"ratio is a share .* received \(0.5, None\)"),
        ({"ratio": NAN}, "ratio is a share .* received nan"),
        ({"alien_ratio": -0.1}, "alien_ratio is a share"),
        ({"alien_probability": 2}, r"alien_probability is in \[0, 1\].*give 0 .* 2\."),
        ({"alien_probability": NAN}, "alien_probability is in .* received nan"),
        ({"max_block": 0}, "max_block is a share"),
        ({"max_block": NAN}, "max_block is a share"),
        ({"max_block": 1.5}, "max_block is a share"),
        ({"align": 0}, "align is a whole number"),
        ({"align": 1.5}, "align is a whole number"),
        ({"align": NAN}, "align is a whole number"),
        ({"fill": "ones"}, "fill is one of"),
        ({"alien_donor": "self"}, "alien_donor is one of"),
        ({"shape": "disc"}, "shape is one of"),
        ({"noise_std": -1.0}, r"noise_std is a finite .*\(give 1 .* received -1.0"),
        ({"noise_std": NAN}, "noise_std is a finite number of 0 or more"),
        ({"noise_mean": NAN}, r"noise_mean is a finite .*\(give 0 .* received nan"),
    ],
)
def test_arguments_out_of_range(options, message):
    with pytest.raises(ValueError, match=message):
        GMMLCorruption(**options)


@pytest.mark.parametrize(
    "options, shape, message",
    [
        ({}, (48, 32), r"expects spectrograms \(B, T, F\)"),
        ({"align": 16}, (2, 50, 32), "divide by align=16"),
        ({}, (2, None, 32), "must be known"),
        ({"max_block": 0.001}, (2, 1000, 1000), "Raise max_block"),
    ],
)
def test_inputs_that_do_not_fit(options, shape, message):
    with pytest.raises(ValueError, match=message):
        GMMLCorruption(**options)(keras.KerasTensor(shape))
