import numpy as np

from keras_asit.data import draws, mixup


def test_the_share_of_clips_that_are_mixed():
    pairs = [mixup.draw(draws.key(0, 0, i), 0.3, 50) for i in range(3000)]
    mixed = [pair for pair in pairs if pair is not None]
    assert abs(len(mixed) / 3000 - 0.3) < 4 * np.sqrt(0.21 / 3000)
    partners, shares = zip(*mixed)
    assert set(partners) == set(range(50))
    assert abs(np.mean(shares) - 0.5) < 0.02 and 0 < min(shares) < max(shares) < 1
    assert mixup.draw(draws.key(0, 0, 0), 0.0, 50) is None


def test_a_mixture_worked_out_by_hand():
    mixed = mixup.mix(np.array([1.0, 3.0]), np.array([0.0, 8.0]), 0.75)
    assert mixed.tolist() == [0.75 * -1 + 0.25 * -4, 0.75 * 1 + 0.25 * 4]
