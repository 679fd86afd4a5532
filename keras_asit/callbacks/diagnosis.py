"""From vital signs to what is wrong with a run, and what to change.

Collapse is when the teacher stops telling clips apart: it names one pseudo-class for
all of them, or all pseudo-classes alike for each, and the student has nothing to learn
(Caron et al., Emerging Properties in Self-Supervised Vision Transformers, 2021).
"""

import math

FEW_CLASSES = 0.25  # of log K: the mean label is a few pseudo-classes
FEW_OF_CLIPS = 0.5  # of log clips, the most that as many class tokens can use
UNIFORM = 0.99  # of log K: every label is nearly uniform
STUCK = 0.99  # of log K: the loss says nothing
FLAT_RANK = 1.05  # of the features: they differ in one direction
FLAT_STD = 1e-3  # of the features, whose scale is about 1

_ADVICE = {
    "few classes": (
        "the teacher gives all {tokens} the same few pseudo-classes ({head}_usage "
        "{usage:.3g} of at most {most:.3g} nats). Give it a centre (center_momentum "
        'below 1); else take centering="balanced", a higher teacher_temperature in '
        "EMATeacher, or a lower learning rate"
    ),
    "uniform": (
        "the teacher gives each of the {tokens} all pseudo-classes alike "
        "({head}_entropy {entropy:.3g} of at most {most:.3g} nats), and the {head} "
        "loss is stuck at {loss:.3g}. Lower the teacher_temperature of EMATeacher "
        "(0.04), and the learning rate; narrow networks need kernel_std=None, few "
        "clips a smaller {head}_dim"
    ),
    "flat": (
        "the features of all clips are the same (feature_std {feature_std:.3g}, "
        "feature_rank {feature_rank:.3g}). Are the clips silent, or all of one kind? "
        "Else lower the learning rate, and raise the teacher's momentum"
    ),
}
_TOKENS = {"local": "data tokens", "global": "class tokens"}


def diagnose(signs, sizes):
    """What the vital signs of a moment say.

    Args:
        signs: Dict of vital signs, see `keras_asit.models.vitals.names`.
        sizes: Number of pseudo-classes by head.

    Returns:
        A dict from the name of each sickness to advice; an empty one for a healthy run.

    Example:

    >>> signs = {"feature_std": 0.3, "feature_rank": 4.0, "global_loss": 4.5,
    ...          "global_entropy": 0.0, "global_usage": 0.01}
    >>> list(diagnose(signs, {"global": 128}))
    ['global: few classes']
    """
    found = {}
    for head, size in sizes.items():
        most = math.log(size)
        # A clip has one class token: four that are told apart for sure use four.
        seen = signs.get("clips", math.inf) if head == "global" else math.inf
        entropy, usage = signs[f"{head}_entropy"], signs[f"{head}_usage"]
        loss = signs[f"{head}_loss"]
        few = min(FEW_CLASSES * most, FEW_OF_CLIPS * math.log(seen))
        if usage < few and seen > 2:
            found[f"{head}: few classes"] = "few classes"
        elif entropy > UNIFORM * most and loss > STUCK * most:
            found[f"{head}: uniform"] = "uniform"
    flat = signs["feature_rank"] < FLAT_RANK or signs["feature_std"] < FLAT_STD
    if flat and signs.get("clips", math.inf) > 2:
        found["flat"] = "flat"
    return {name: _advice(kind, name, signs, sizes) for name, kind in found.items()}


def _advice(kind, name, signs, sizes):
    head = name.partition(":")[0]
    facts = dict(signs)
    if head in sizes:
        facts |= {
            "head": head,
            "tokens": _TOKENS.get(head, "tokens"),
            "most": math.log(sizes[head]),
            **{n: signs[f"{head}_{n}"] for n in ("loss", "entropy", "usage")},
        }
    return _ADVICE[kind].format(**facts)
