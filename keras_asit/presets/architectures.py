"""The architectures that have a name."""

from keras_asit.audio import LogMelFilterbank
from keras_asit.audio.filterbank import AUDIOSET_MEAN, AUDIOSET_STD
from keras_asit.models import ASiTBackbone

# Sizes of the paper with the heads of the standard vision transformer (section 2 of
# the specification; the paper's 3 and 6 heads are taken as a slip).
_NAMED = {
    "asit_tiny": {"hidden_dim": 192, "num_heads": 3, "mlp_dim": 768},
    "asit_small": {"hidden_dim": 384, "num_heads": 6, "mlp_dim": 1536},
    "asit_base": {"hidden_dim": 768, "num_heads": 12, "mlp_dim": 3072},
}
_SHARED = {"patch_size": 16, "num_layers": 12}
_SIZES = ("patch_size", "hidden_dim", "num_layers", "num_heads", "mlp_dim")
_NUM_FRAMES = 592  # of a crop of 6 s


def names():
    """The names that `load` knows; none of them has weights yet."""
    return list(_NAMED)


def named_backbone(name, num_frames=None):
    """A fresh backbone of one of `names()`.

    Args:
        name: One of `names()`.
        num_frames: Frames T of the input, by default the paper's 592.
    """
    frontend = _paper_frontend(_NUM_FRAMES if num_frames is None else num_frames)
    shape = (frontend.num_frames, frontend.num_mel_bins)
    return ASiTBackbone(shape, **_SHARED, **_NAMED[name], frontend=frontend)


def describe_name(name):
    """The entry of one of `names()`, as `describe` returns it."""
    config = {**_SHARED, **_NAMED[name]}
    frontend = _paper_frontend(_NUM_FRAMES).get_config()
    return {
        "model": ASiTBackbone.__name__,
        **sizes(config, frontend),
        "parameters": _parameters(frontend, **config),
        "trained_on": "nothing: no weights are shipped",
        "weights": False,
    }


def sizes(config, frontend):
    """The part of an entry that a backbone's and a frontend's config hold."""
    return {
        "input_shape": (frontend["num_frames"], frontend["num_mel_bins"]),
        **{key: config[key] for key in _SIZES},
        **{key: frontend[key] for key in ("sample_rate", "mean", "std")},
    }


def _paper_frontend(num_frames):
    return LogMelFilterbank(
        sample_rate=32000,
        num_mel_bins=128,
        num_frames=num_frames,
        mean=AUDIOSET_MEAN,
        std=AUDIOSET_STD,
    )


def _parameters(frontend, patch_size, hidden_dim, num_layers, num_heads, mlp_dim):
    """The number of a backbone's weights; to build the base size takes seconds."""
    width, pixels = hidden_dim, patch_size**2
    patches = frontend["num_frames"] * frontend["num_mel_bins"] // pixels
    embedding = (pixels + 1) * width + width + (1 + patches) * width
    attention = 4 * (width + 1) * width
    mlp = (width + 1) * mlp_dim + (mlp_dim + 1) * width
    norm = 2 * width
    return embedding + num_layers * (attention + mlp + 2 * norm) + norm
