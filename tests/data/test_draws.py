import numpy as np
import pytest

from keras_asit.data import draws

WRAP = (1 << 64) - 1


def split_mix(state):
    """The algorithm as it is published, in Python's integers."""
    while True:
        state = (state + 0x9E3779B97F4A7C15) & WRAP
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WRAP
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WRAP
        yield z ^ (z >> 31)


def test_the_published_numbers():
    """Of seed 1234567, as the reference implementation prints them."""
    stream = split_mix(1234567)
    assert [next(stream) for _ in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


def test_uniforms_are_split_mix(monkeypatch):
    key = draws.key(3, 1, 4)
    monkeypatch.setattr(draws.zlib, "crc32", lambda purpose: 0)
    stream = split_mix((int(key[0]) - 0x9E3779B97F4A7C15) & WRAP)
    start = next(stream)  # the key, mixed once more with the purpose
    expected = [number / 2**64 for number, _ in zip(split_mix(start), range(5))]
    np.testing.assert_allclose(draws.uniforms(key, "crop", 5), expected, atol=1e-15)


def test_other_clips_epochs_seeds_and_purposes_draw_others():
    keys = [draws.key(*numbers) for numbers in np.ndindex(6, 6, 6)]
    drawn = {draws.uniforms(key, what, 1)[0] for key in keys for what in ("a", "b")}
    assert len(drawn) == 2 * 6**3


def test_numbers_are_uniform_and_independent():
    keys = [draws.key(0, 0, clip) for clip in range(10_000)]
    rows = np.stack([draws.uniforms(key, "crop", 4) for key in keys])
    assert rows.min() >= 0 and rows.max() < 1
    counts = np.stack([np.histogram(column, 10, (0, 1))[0] for column in rows.T])
    # chi-squared of 9 degrees of freedom: beyond 30 once in 2,300
    assert (((counts - 1000) ** 2 / 1000).sum(axis=1) < 30).all()
    between = np.corrcoef(np.concatenate([rows[:-1], rows[1:]], axis=1).T)
    assert np.abs(between - np.eye(8)).max() < 5 / np.sqrt(len(rows))


def test_whole_numbers_below_a_bound():
    assert [int(draws.below(u, 4)) for u in (0.0, 0.24, 0.25, 0.9999)] == [0, 0, 1, 3]
    assert int(draws.below(np.float64(0.7), 0)) == 0
    assert int(draws.below(np.float64(0.7), -5)) == 0
    assert [int(draws.happens(np.float64(u), 0.5)) for u in (0.49, 0.5)] == [1, 0]


def test_symmetric_beta():
    """Beta(10, 10) has mean 1/2 and variance 1/84."""
    drawn = [
        draws.symmetric_beta(draws.uniforms(draws.key(0, 0, i), "mixup", 19))
        for i in range(3000)
    ]
    assert abs(np.mean(drawn) - 0.5) < 4 / np.sqrt(84 * 3000)
    assert abs(np.var(drawn) * 84 - 1) < 0.15


def test_a_graph_draws_the_same():
    tf = pytest.importorskip("tensorflow")

    @tf.function
    def drawn(seed, epoch, clip, bound):
        key = draws.key(seed, epoch, clip)
        uniforms = draws.uniforms(key, "crop", 5)
        return uniforms, draws.below(uniforms, bound), draws.symmetric_beta(uniforms)

    for numbers in ((0, 0, 0, 7), (2**40, 3, 1_999_999, 320_000)):
        uniforms = draws.uniforms(draws.key(*numbers[:3]), "crop", 5)
        expected = (
            uniforms,
            draws.below(uniforms, numbers[3]),
            draws.symmetric_beta(uniforms),
        )
        found = drawn(*(tf.constant(number, tf.int64) for number in numbers))
        for ours, theirs in zip(found, expected):
            np.testing.assert_array_equal(ours, theirs)
