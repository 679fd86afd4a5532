"""Paper and reference: every named option of the specification's Section 5.

`PRETRAINER` holds what an `ASiTPretrainer` takes, `TRAINING` what the optimiser,
the callback, the data and the run take. `paper` is the text; `reference` is what
the authors' code does. Rows 6 (attention heads) and 19 (stochastic depth of the
teacher: none) are arguments of the backbone; rows 11 and 21 have one value.
"""

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
    # Section 3 of the specification.
    "student_temperature": 0.1,
    "center_momentum": 0.9,
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
    # Row 15.
    "base_learning_rate": 5e-4,
    "final_learning_rate": 1e-6,
    "warmup_epochs": 10,
    # Row 16.
    "weight_decay": 0.04,
    "final_weight_decay": 0.4,
    # Row 17.
    "clip": "global",
    "clip_norm": 3.0,
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
        "epochs": 100,
        "clip": "variable",
        "batch_size": 32,
    },
}


def resolve(profile, options):
    """The pretrainer's options: those of the profile, then the caller's.

    Args:
        profile: `"paper"` or `"reference"`.
        options: Dictionary of options that differ from the profile.

    Raises:
        ValueError: If the profile or an option is unknown.
    """
    if profile not in PRETRAINER:
        raise ValueError(
            f"Expected a profile of {sorted(PRETRAINER)}; received {profile!r}."
        )
    unknown = sorted(set(options) - set(_PAPER))
    if unknown:
        raise ValueError(
            f"Unknown options {unknown}. Options of ASiTPretrainer: {sorted(_PAPER)}."
        )
    given = {  # a saved config has lists in the place of tuples
        name: tuple(value) if isinstance(value, list) else value
        for name, value in options.items()
    }
    return {**PRETRAINER[profile], **given}
