"""SpecAugment, noise and a roll in time: what AST does to features in training."""

import math
import types

import numpy as np

from keras_asit.data import draws

MASK_FILLS = ("mean", "zero_before_normalisation")


class SpecAugment:
    """Masks bins and frames of normalised features, adds noise, rolls them in time.

    One band of mel bins and one stretch of frames of random width and place are
    masked. Noise is uniform in [0, 1), times a level that is uniform up to `noise`
    and drawn once a clip. The roll is of whole frames, either way. AST fine-tunes
    with widths of 24 to 48 bins and 48 to 192 frames, noise 0.1 and 10 frames of
    roll (section 7 of the specification); it masks before it normalises.

    Args:
        frequency_mask: Most mel bins of the band, below which a width is drawn.
        time_mask: Most frames of the stretch.
        mask_value: What masked features become. See `masked_value`.
        noise: Highest level of the noise, in normalised units.
        roll_frames: Most frames of the roll.

    Input shape:
        Normalised features `[T, F]` of one clip, and its key (`draws.key`).

    Output shape:
        As the features: numpy in, numpy out; TensorFlow in, TensorFlow out.

    Raises:
        ValueError: for a negative argument.

    Example:

    >>> from keras_asit.data import draws
    >>> augment = SpecAugment(frequency_mask=8, time_mask=16)
    >>> masked = augment(np.ones((64, 32), "float32"), draws.key(0, 0, 0))
    >>> masked.shape, sorted(set(masked.ravel().tolist()))
    ((64, 32), [0.0, 1.0])

    Reference:
        Park et al., SpecAugment, 2019; https://github.com/YuanGongND/ast, whose roll
        is of -10 to 9 frames.
    """

    def __init__(
        self, frequency_mask=0, time_mask=0, mask_value=0.0, noise=0.0, roll_frames=0
    ):
        given = {
            "frequency_mask": frequency_mask,
            "time_mask": time_mask,
            "noise": noise,
            "roll_frames": roll_frames,
        }
        wrong = {k: v for k, v in given.items() if not 0 <= v < math.inf}
        if wrong:
            raise ValueError(f"Expected numbers of 0 or more. Received: {wrong}")
        self.frequency_mask, self.time_mask = frequency_mask, time_mask
        self.mask_value = mask_value
        self.noise, self.roll_frames = noise, roll_frames

    @property
    def changes_nothing(self):
        """Whether every part is off."""
        return not any(
            (self.frequency_mask, self.time_mask, self.noise, self.roll_frames)
        )

    def __call__(self, features, key):
        xp = _operations(features)
        frames, bins = features.shape
        masks = draws.uniforms(key, "masks", 4)
        keep_bins = _outside_mask(bins, self.frequency_mask, masks[:2], xp)
        keep_frames = _outside_mask(frames, self.time_mask, masks[2:], xp)
        keep = keep_frames[:, None] & keep_bins[None, :]
        features = xp.where(keep, features, np.float32(self.mask_value))
        if self.noise:
            level = xp.float32(draws.uniforms(key, "noise level", 1) * self.noise)
            noise = xp.float32(draws.uniforms(key, "noise", frames * bins))
            features = features + level * xp.reshape(noise, (frames, bins))
        if self.roll_frames:
            amount = draws.uniforms(key, "roll", 1)[0]
            amount = draws.below(amount, 2 * self.roll_frames + 1) - self.roll_frames
            features = xp.roll(features, amount, 0)
        return features


def masked_value(fill, mean, std):
    """What masked features become, in units of normalised features.

    Args:
        fill: `"mean"`, or `"zero_before_normalisation"` as in AST, where the masked
            log-mel is 0: louder than most of it.
        mean, std: The frontend's constants; both None without normalisation.

    Raises:
        ValueError: for another name.
    """
    if fill not in MASK_FILLS:
        raise ValueError(f"Expected a mask fill of {MASK_FILLS}. Received: {fill!r}")
    if fill == "mean" or mean is None:
        return 0.0
    return (0.0 - mean) / (2.0 * std)


def _outside_mask(size, widest, uniforms, xp):
    """Which of `size` places no mask hides: a width below `widest`, anywhere."""
    width = uniforms[0] * min(widest, size)
    start = draws.below(uniforms[1], size - width)
    stop = start + draws.below(1.0, width)
    places = np.arange(size, dtype="int64")
    return (places < start) | (places >= stop)


def _operations(features):
    if not type(features).__module__.startswith("tensorflow"):
        return types.SimpleNamespace(
            where=np.where,
            roll=np.roll,
            reshape=np.reshape,
            float32=lambda x: np.asarray(x, "float32"),
        )
    import tensorflow as tf

    return types.SimpleNamespace(
        where=tf.where,
        roll=tf.roll,
        reshape=tf.reshape,
        float32=lambda x: tf.cast(x, tf.float32),
    )
