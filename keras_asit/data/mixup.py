"""Mixup of waveforms: two clips heard at once, with the labels of both."""

from keras_asit.data import draws

BETA = 10  # both parameters of the distribution, in AST's recipes


def draw(key, rate, clips):
    """Whether a clip is mixed, with which other clip, and how.

    Args:
        key: The clip's, of `draws.key`.
        rate: Share of the clips that are mixed.
        clips: Number of clips that the other one is drawn from.

    Returns:
        `(partner, share)`: the number of the other clip and the share of the first
        clip in the mixture, drawn from Beta(10, 10); None where the clip stays alone.
    """
    drawn = draws.uniforms(key, "mixup", 2 + 2 * BETA - 1)
    if drawn[0] >= rate:
        return None
    return int(draws.below(drawn[1], clips)), float(draws.symmetric_beta(drawn[2:]))


def mix(wave, other, share):
    """The mixture of two waveforms `[S]`, each without its mean as in AST.

    Args:
        wave, other: Waveforms of one length.
        share: Share of the first one.
    """
    return share * (wave - wave.mean()) + (1.0 - share) * (other - other.mean())
