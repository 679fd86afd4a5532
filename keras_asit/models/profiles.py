"""Paper and reference: every named option of the specification's Section 5.

`paper` is the text; `reference` is what the authors' code does. `PRETRAINER` holds
the options of an `ASiTPretrainer`. Rows 11 and 21 have one value, as has the teacher's
half of row 19 (no stochastic depth).

The other rows are arguments of something else, and `OWNERS` says of what: row 6 of the
backbone, the rest, which `TRAINING` records, of what trains. Of these the code reads
the clipping (row 17), for an optimiser that it makes by itself, and
`pretraining_optimizer(profile=...)` rows 15 to 17. The defaults of `EMATeacher` and
`pretraining_dataset` equal rows 13 and 20; epochs and batch size are the caller's.
"""

from math import inf
from numbers import Integral, Real

from keras_asit import optimizers
from keras_asit.layers import gmml_corruption
from keras_asit.layers.random_resized_crop import is_share_range

_PAPER = {
    # Row 1: weights of the three losses; 0 switches a loss and its head off.
    "reconstruction_weight": 1.0,
    "local_weight": 1.0,
    "global_weight": 1.0,
    # Rows 2 and 3: which tokens the local loss is taken over.
    "local_loss_on": "changed",
    "changed_threshold": 0.0,
    # Row 4: local and global heads.
    "shared_projection": False,
    "projection_hidden_dims": (2048, 2048),
    "projection_bottleneck_dim": 256,
    "local_dim": 1024,
    "global_dim": 8192,
    # Row 5: reconstruction head.
    "reconstruction_hidden_dims": (2048, 2048),
    "reconstruction_bottleneck_dim": 256,
    "reconstruction_gelu_bottleneck": False,
    # Rows 7 to 12 and 22: corruption.
    "corruption": True,
    "corruption_ratio": 0.7,
    "corruption_fill": "zeros",
    "alien_ratio": 0.3,
    "alien_probability": 0.5,
    "alien_donor": "other",
    "noise": "unit",
    "max_block": 0.3,
    "align": 1,
    # Largest gain, in decibels, of the random filter of each view (`RandomFilter`), so
    # that views of one clip do not share the colour of its recording. Not the paper's.
    "filter_decibels": 0.0,
    # Shares of the frames and of the mel bins that each view is cropped to and resized
    # from (`RandomResizedCrop`). Not the paper's, whose views are resized by no stated
    # amount (row 21).
    "resize_time": (1.0, 1.0),
    "resize_frequency": (1.0, 1.0),
    # Corrupted views of each clean one, which share the teacher's pass (after EAT, Chen
    # et al., 2024). Not the paper's.
    "student_views": 1,
    # Section 3 of the specification.
    "student_temperature": 0.1,
    "center_momentum": 0.9,
    # What the centre follows: the mean of the teacher's logits, as in the paper, or
    # the load of each pseudo-class (`losses.balanced_center`), at a rate of 1 less
    # the momentum.
    "centering": "mean",
    # Row 18: steps in which the heads' output layers stay as they are.
    "freeze_output_steps": 0,
    # Row 19: stochastic depth of the student, growing linearly over depth.
    "drop_path": 0.1,
}

_REFERENCE = {
    **_PAPER,
    "reconstruction_weight": 2.0,
    "local_loss_on": "all",
    "shared_projection": True,
    "reconstruction_hidden_dims": (768, 768),
    "reconstruction_bottleneck_dim": 128,
    "reconstruction_gelu_bottleneck": True,
    "corruption_ratio": (0.5, 0.7),
    "alien_donor": "any",
    "noise": "frontend",
}

_PAPER_TRAINING = {
    # Row 13: teacher temperature, over the first epochs.
    "teacher_temperature": 0.04,
    "final_teacher_temperature": 0.07,
    "temperature_epochs": 30,
    "momentum": 0.996,
    "final_momentum": 1.0,
    # Row 14.
    "epochs": 40,
    # Rows 15 to 17.
    **optimizers.PROFILES["paper"],
    # Row 20: random circular shift of the waveform.
    "shift_probability": 0.5,
    # Row 23: clips per device.
    "batch_size": 64,
}

PRETRAINER = {"paper": _PAPER, "reference": _REFERENCE}

TRAINING = {
    "paper": _PAPER_TRAINING,
    "reference": {
        **_PAPER_TRAINING,
        **optimizers.PROFILES["reference"],
        "epochs": 100,
        "batch_size": 32,
    },
}

# What takes the rows that an `ASiTPretrainer` does not.
OWNERS = {
    "num_heads": "ASiTBackbone",
    "teacher_temperature": "EMATeacher",
    "final_teacher_temperature": "EMATeacher",
    "temperature_epochs": "EMATeacher",
    "momentum": "EMATeacher",
    "final_momentum": "EMATeacher",
    "epochs": "ASiTPretrainer.fit",
    **dict.fromkeys(optimizers.PROFILES["paper"], "pretraining_optimizer"),
    "shift_probability": "pretraining_dataset",
    "batch_size": "pretraining_dataset",
}

_CHOICES = {
    "local_loss_on": ("changed", "all"),
    "corruption_fill": ("zeros", "noise"),
    "alien_donor": ("other", "any"),
    "noise": ("unit", "frontend"),
    "centering": ("mean", "balanced"),
}

_WEIGHTS = ("reconstruction_weight", "local_weight", "global_weight")


def _number(in_range):
    return lambda x: isinstance(x, Real) and in_range(x)


def _is_flag(x):
    return isinstance(x, bool)


def _is_width(x):
    return isinstance(x, Integral) and not isinstance(x, bool) and x >= 1


def _are_widths(x):
    return isinstance(x, tuple) and all(map(_is_width, x))


_FLAG = (_is_flag, "True or False")
_WIDTH = (_is_width, "a whole number of 1 or more")
_WIDTHS = (_are_widths, "a tuple of whole numbers of 1 or more, as (256, 256)")
_WEIGHT = (_number(lambda x: 0 <= x < inf), "0 or more (0 switches it off)")

# Whether an option is right, and what is, in words.
_RULES = {
    **dict.fromkeys(_WEIGHTS, _WEIGHT),
    "changed_threshold": (
        _number(lambda x: 0 <= x < 1),
        "in [0, 1): a token counts where a larger share of its pixels changed",
    ),
    "shared_projection": _FLAG,
    "projection_hidden_dims": _WIDTHS,
    "projection_bottleneck_dim": _WIDTH,
    "local_dim": _WIDTH,
    "global_dim": _WIDTH,
    "reconstruction_hidden_dims": _WIDTHS,
    "reconstruction_bottleneck_dim": _WIDTH,
    "reconstruction_gelu_bottleneck": _FLAG,
    "corruption": _FLAG,
    "corruption_ratio": gmml_corruption.RULES["ratio"],
    **{
        name: gmml_corruption.RULES[name]
        for name in ("alien_ratio", "alien_probability", "max_block", "align")
    },
    "filter_decibels": (_number(lambda x: 0 <= x < inf), "0 or more decibels"),
    **dict.fromkeys(
        ("resize_time", "resize_frequency"),
        (is_share_range, "(low, high) with 0 < low <= high, shares of the axis"),
    ),
    "student_views": _WIDTH,
    "student_temperature": (_number(lambda x: 0 < x < inf), "more than 0"),
    "center_momentum": (_number(lambda x: 0 <= x <= 1), "in [0, 1]"),
    "freeze_output_steps": (_number(lambda x: 0 <= x < inf), "0 or more steps"),
    "drop_path": (
        _number(lambda x: 0 <= x < 1),
        "a share of the samples in [0, 1), for example 0.1 (give 0 for none)",
    ),
}


def resolve(profile, options):
    """The pretrainer's options: those of the profile, then the caller's.

    Args:
        profile: `"paper"` or `"reference"`.
        options: Dictionary of options that differ from the profile.

    Raises:
        ValueError: If the profile or an option is unknown, belongs to something else,
            or is out of its range.
    """
    if profile not in PRETRAINER:
        raise ValueError(
            f"Expected a profile of {sorted(PRETRAINER)}; received {profile!r}."
        )
    unknown = sorted(set(options) - set(_PAPER))
    for name in unknown:
        if name in OWNERS:
            raise ValueError(
                f"{name} belongs to {OWNERS[name]}(...); ASiTPretrainer received "
                f"{name}={options[name]!r}. Give it there."
            )
    if unknown:
        raise ValueError(
            f"Unknown options {unknown}. Options of ASiTPretrainer: {sorted(_PAPER)}."
        )
    given = {  # a saved config has lists in the place of tuples
        name: tuple(value) if isinstance(value, list) else value
        for name, value in options.items()
    }
    resolved = {**PRETRAINER[profile], **given}
    _check(resolved)
    return resolved


def _check(options):
    """Refuses options that would train something else than was meant, or nothing."""
    for name, choices in _CHOICES.items():
        if options[name] not in choices:
            raise ValueError(
                f"{name} is one of {list(choices)}; received {options[name]!r}."
            )
    for name, (is_right, words) in _RULES.items():
        if not is_right(options[name]):
            raise ValueError(f"{name} is {words}; received {options[name]!r}.")
    if not any(options[name] for name in _WEIGHTS):
        raise ValueError(
            f"All of {list(_WEIGHTS)} are 0: there is nothing to learn from. Give at "
            "least one of them a weight above 0."
        )
