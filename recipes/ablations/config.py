"""The paper's ablations (Section 4.4) as rows that run by name, on any data.

What: each row of a table is a pretraining that differs from the paper's in one thing,
or a start without one, and the fine-tuning of what came of it. The paper pretrains
ViT-S for 10 epochs on AudioSet-2M and scores mAP on AudioSet-20K; `--scale paper` is
that network and that profile (README.md tells what differs from the paper), `--scale
small` what two CPU cores do in minutes, and its figures are not comparable with the
paper's.

Command: python -m recipes.ablations.train --table losses --data MANIFEST --out DIR

Results and the paper's numbers: README.md.
"""

import dataclasses

from keras_asit.quickstart import job
from keras_asit.training import Protocol, SmallModel
from recipes.audioset_20k import config as audioset_20k
from recipes.models import NamedModel


@dataclasses.dataclass(frozen=True)
class Row:
    """What a row of a table differs in.

    Attributes:
        options: Options of the `ASiTPretrainer`.
        start: `"own"` for a pretraining on the training clips, `"scratch"` for none.
        is_vision: Whether the network begins with ImageNet's weights.
        steps: Factor of the pretraining's steps.
        size: One of the scale's `models`, or None for its first.
    """

    options: dict = dataclasses.field(default_factory=dict)
    start: str = "own"
    is_vision: bool = False
    steps: float = 1.0
    size: str | None = None


def _losses(reconstruction, local, global_, corruption=True):
    """Which of the losses are on: with the weights of the scale, or 0."""
    on = {
        "reconstruction_weight": reconstruction,
        "local_weight": local,
        "global_weight": global_,
    }
    return Row(
        {name: 0.0 for name, is_on in on.items() if not is_on}
        | ({} if corruption else {"corruption": False})
    )


TABLES = {
    # Table II: corruption C, reconstruction R, local loss L, global loss G.
    "losses": {
        "R": _losses(True, False, False, corruption=False),
        "G": _losses(False, False, True, corruption=False),
        "C+L": _losses(False, True, False),
        "C+R": _losses(True, False, False),
        "C+L+G": _losses(False, True, True),
        "C+R+G": _losses(True, False, True),
        "C+R+L": _losses(True, True, False),
        "C+R+L+G": _losses(True, True, True),
    },
    # Table III.
    "initialisation": {
        "scratch": Row(start="scratch"),
        "self-supervised": Row(),
        "ImageNet": Row(start="scratch", is_vision=True),
        "ImageNet, self-supervised": Row(is_vision=True),
    },
    # Figure 3.
    "corruption": {
        f"{percent} %": Row({"corruption_ratio": percent / 100})
        for percent in range(10, 100, 10)
    },
    # Section 4.4: the patch is 16 pixels.
    "alignment": {
        "aligned": Row({"align": 16}),
        "unaligned": Row({"align": 1}),
    },
    # Figure 2: the length of the pretraining, times that of the scale.
    "epochs": {f"x {factor:g}": Row(steps=factor) for factor in (0.25, 0.5, 1, 2, 4)},
    "size": {name: Row(size=name) for name in ("smaller", "small", "base")},
}

# What the paper reports, AS-20K mAP.
PAPER = {
    "losses": {
        "R": 16.6,
        "G": 20.2,
        "C+L": 23.9,
        "C+R": 25.5,
        "C+L+G": 25.9,
        "C+R+G": 27.1,
        "C+R+L": 27.6,
        "C+R+L+G": 28.1,
    },
    # ViT-S.
    "initialisation": {
        "scratch": 12.6,
        "self-supervised": 32.0,
        "ImageNet": 26.3,
        "ImageNet, self-supervised": 31.5,
    },
    "alignment": {"aligned": 26.9, "unaligned": 28.1},
}


@dataclasses.dataclass(frozen=True)
class Scale:
    """A size of the whole experiment.

    Attributes:
        models: Networks by the names in `TABLES["size"]`; the first is the default.
        learning_rate: Peak of the pretraining's.
        steps: Steps of a pretraining.
        pretraining: Options of `training.pretrain`.
        protocol: Of the fine-tuning.
    """

    models: dict
    learning_rate: float
    steps: int
    pretraining: dict
    protocol: Protocol


SMALL = Scale(
    models={
        "small": SmallModel(crop_seconds=1.3),
        "smaller": SmallModel(crop_seconds=1.3, hidden_dim=64, num_heads=2),
        "base": SmallModel(crop_seconds=1.3, hidden_dim=256, num_heads=8),
    },
    learning_rate=job.PRETRAINING_RATE,
    steps=1500,
    # The corruption is the paper's, 70 %: what the rows vary.
    pretraining={**job.PRETRAINING, "filter_decibels": 12.0, "corruption_ratio": 0.7},
    protocol=Protocol(
        name="small",
        epochs=30,
        seconds=1.3,
        learning_rate=1e-3,
        warmup_epochs=3,
        mixup=0.5,
        shift_probability=0.5,
        drop_path=0.1,
    ),
)
AUDIOSET_EPOCH = 2_000_000 // 64  # steps of AudioSet-2M, to pretrain on
PAPER_SCALE = Scale(
    models={
        "small": NamedModel("asit_small"),
        "smaller": NamedModel("asit_tiny"),
        "base": NamedModel("asit_base"),
    },
    learning_rate=5e-4 * 64 / 256,
    steps=10 * AUDIOSET_EPOCH,
    pretraining={
        "batch_size": 64,
        "momentum": 0.996,
        "profile": "paper",
        # Rows 13 and 16 of the specification; the rise is cut to a shorter run.
        "teacher_temperature": 0.04,
        "final_teacher_temperature": 0.07,
        "temperature_steps": 30 * AUDIOSET_EPOCH,
        "weight_decay": 0.04,
        "final_weight_decay": 0.4,
    },
    protocol=audioset_20k.AST,
)
SCALES = {"small": SMALL, "paper": PAPER_SCALE}
SEEDS = (0,)
