"""How a backbone is fine-tuned on a data set: every choice by name, in one record."""

import dataclasses
from math import inf
from numbers import Integral, Real

import keras

from keras_asit import layers
from keras_asit.data.spec_augment import MASK_FILLS
from keras_asit.layers.pooling import POOLINGS
from keras_asit.layers.random_resized_crop import is_share_range
from keras_asit.losses import ClassCrossentropy
from keras_asit.optimizers import ScheduledAdamW
from keras_asit.schedules import StepDecay, WarmupCosine

CHOICES = {
    "schedule": ("cosine", "step"),
    "loss": ("cross_entropy", "binary_cross_entropy"),
    "metric": ("accuracy", "mean_average_precision"),
    "selection": ("last", "validation", "ast_published"),
    "pooling": POOLINGS,
    "mask_fill": MASK_FILLS,
}


def _number(in_range):
    return lambda x: isinstance(x, Real) and in_range(x)


def _whole(least):
    return lambda x: isinstance(x, Integral) and x >= least


# Whether an attribute is right, and what is, in words.
RANGES = {
    "epochs batch_size decay_every": (_whole(1), "a whole number of 1 or more"),
    "decay_after warmup_steps frequency_mask time_mask roll_frames": (
        _whole(0),
        "a whole number of 0 or more",
    ),
    "seconds learning_rate": (_number(lambda x: 0 < x < inf), "more than 0"),
    "weight_decay l2 noise filter_decibels warmup_epochs": (
        _number(lambda x: 0 <= x < inf),
        "0 or more",
    ),
    "mixup shift_probability": (_number(lambda x: 0 <= x <= 1), "in [0, 1]"),
    "drop_path label_smoothing": (_number(lambda x: 0 <= x < 1), "in [0, 1)"),
    "layer_decay decay_factor": (_number(lambda x: 0 < x <= 1), "in (0, 1]"),
    "betas": (
        lambda x: len(x) == 2 and all(0 <= beta < 1 for beta in x),
        "two numbers in [0, 1)",
    ),
    "resize_time resize_frequency": (
        is_share_range,
        "(low, high) with 0 < low <= high, shares of the axis",
    ),
    "clip_norm std": (lambda x: x is None or 0 < x < inf, "more than 0, or None"),
}


@dataclasses.dataclass(frozen=True)
class Protocol:
    """A fine-tuning protocol (paper, Section 4.1; AST's recipes, see Reference).

    The defaults are those of small sets and later work: AdamW, a cosine, cross-entropy.
    The recipes hold those of AST by name (section 7 of the specification).

    Attributes:
        name: What results are called by.
        epochs: Passes over the training clips.
        batch_size: Clips of a batch, at most as many as there are.
        seconds: Length of a clip: longer ones are cropped, shorter ones end in zeros.
        num_frames: Frames T of the input, which `seconds` must fit in; None for the
            backbone's. Positions are interpolated.
        mean, std: Normalisation constants in the place of the backbone's own.
        learning_rate: Peak of the learning rate.
        schedule: `"cosine"` to 1e-6, or `"step"`: times `decay_factor` every
            `decay_every` epochs, the first time after `decay_after` epochs.
        decay_factor, decay_after, decay_every: Of the schedule `"step"`.
        warmup_steps: Steps of a linear warm-up.
        warmup_epochs: The same in epochs, added to them.
        betas: Of Adam.
        weight_decay: AdamW's, not of biases and norms.
        l2: Adam's penalty on all weights, as PyTorch's `weight_decay` (AST).
        clip_norm: Largest norm of all gradients together; None for no clipping.
        layer_decay: Factor of the learning rate from each layer to the one before.
        freeze_backbone: Whether only the head is trained.
        pooling: Of the `ASiTClassifier`.
        drop_path: Stochastic depth of the last block.
        mixup: Share of the clips that are mixed as waveforms, by Beta(10, 10).
        frequency_mask, time_mask: SpecAugment's widest band of bins, and of frames.
        mask_fill: What is masked becomes `"mean"` or, as in AST,
            `"zero_before_normalisation"`.
        noise, roll_frames: AST's additive noise and roll in time.
        shift_probability: Probability of a circular shift of the waveform.
        filter_decibels: Largest gain of a random filter (`layers.RandomFilter`).
        resize_time, resize_frequency: Shares of `layers.RandomResizedCrop`.
        balanced: Whether classes are drawn alike, with replacement.
        loss: `"cross_entropy"`, or `"binary_cross_entropy"` of each class.
        label_smoothing: Share of a target that is spread over the classes.
        metric: `"accuracy"` or `"mean_average_precision"`.
        selection: Which epoch counts. `"last"`; `"validation"`: the best one on the
            validation clips; `"ast_published"`: the best one on the *test* clips, as
            AST's published ESC-50 figures are chosen, for comparison alone.
        average_epochs: `(first, last)`, numbered from 1: the weights are the mean of
            those after these epochs. None for no averaging.

    Raises:
        ValueError: If a choice is unknown, a number out of its range, or averaging
            and selection are both asked for.

    Example:

    >>> esc50 = Protocol(epochs=25, seconds=5.0, num_frames=512, learning_rate=1e-4)
    >>> esc50.steps(num_clips=1600), esc50.replace(epochs=50).steps(1600)
    (1250, 2500)

    Reference:
        Gong et al., AST: Audio Spectrogram Transformer, 2021;
        https://github.com/YuanGongND/ast.
    """

    name: str = "fine-tuning"
    epochs: int = 50
    batch_size: int = 32
    seconds: float = 5.0
    num_frames: int | None = None
    mean: float | None = None
    std: float | None = None
    learning_rate: float = 1e-3
    schedule: str = "cosine"
    decay_factor: float = 0.85
    decay_after: int = 5
    decay_every: int = 1
    warmup_steps: int = 0
    warmup_epochs: float = 0.0
    betas: tuple = (0.9, 0.999)
    weight_decay: float = 0.05
    l2: float = 0.0
    clip_norm: float | None = 3.0
    layer_decay: float = 1.0
    freeze_backbone: bool = False
    pooling: str = "cls"
    drop_path: float = 0.0
    mixup: float = 0.0
    frequency_mask: int = 0
    time_mask: int = 0
    mask_fill: str = "mean"
    noise: float = 0.0
    roll_frames: int = 0
    shift_probability: float = 0.0
    filter_decibels: float = 0.0
    resize_time: tuple = (1.0, 1.0)
    resize_frequency: tuple = (1.0, 1.0)
    balanced: bool = False
    loss: str = "cross_entropy"
    label_smoothing: float = 0.0
    metric: str = "accuracy"
    selection: str = "last"
    average_epochs: tuple | None = None

    def __post_init__(self):
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"{name} is one of {list(choices)}; received "
                    f"{getattr(self, name)!r}."
                )
        for names, (is_right, words) in RANGES.items():
            for name in names.split():
                if not is_right(getattr(self, name)):
                    raise ValueError(
                        f"{name} is {words}; received {getattr(self, name)!r}."
                    )
        if (self.mean is None) != (self.std is None):
            raise ValueError(
                "mean and std come together; received "
                f"mean={self.mean!r}, std={self.std!r}."
            )
        self._check_epochs()

    def _check_epochs(self):
        if self.average_epochs is None:
            return
        first, last = self.average_epochs
        if not 1 <= first <= last <= self.epochs:
            raise ValueError(
                f"average_epochs is (first, last) of the epochs 1 to {self.epochs}; "
                f"received {self.average_epochs!r}."
            )
        if self.selection != "last":
            raise ValueError(
                "Either weights are averaged over epochs or one epoch is selected; "
                f"received average_epochs={self.average_epochs!r} and "
                f"selection={self.selection!r}."
            )

    def replace(self, **changes):
        """The same protocol but for some attributes."""
        return dataclasses.replace(self, **changes)

    def as_dict(self):
        """The attributes, for JSON."""
        return dataclasses.asdict(self)

    @property
    def is_multi_label(self):
        """Whether targets are multi-hot, and each class has a loss of its own."""
        return self.loss == "binary_cross_entropy"

    def batch(self, num_clips):
        """Clips of a batch of a set of so many."""
        return min(self.batch_size, num_clips)

    def steps(self, num_clips):
        """Steps of the whole run on a set of so many clips."""
        return self.epochs * (num_clips // self.batch(num_clips))

    def optimizer(self, num_clips):
        """The optimiser with its schedule, for a set of so many clips."""
        per_epoch = num_clips // self.batch(num_clips)
        steps = self.epochs * per_epoch
        warmup = self.warmup_steps + round(self.warmup_epochs * per_epoch)
        if warmup > steps:
            raise ValueError(
                f"The warm-up of {warmup} steps is longer than the run of {steps}. "
                "Give more epochs, or another warmup_steps and warmup_epochs."
            )
        if self.schedule == "step":
            rate = StepDecay(
                self.learning_rate,
                self.decay_factor,
                self.decay_after * per_epoch,
                self.decay_every * per_epoch,
                warmup,
            )
        else:
            rate = WarmupCosine(self.learning_rate, 1e-6, steps, warmup)
        return ScheduledAdamW(
            rate,
            weight_decay=self.weight_decay,
            beta_1=self.betas[0],
            beta_2=self.betas[1],
            global_clipnorm=self.clip_norm,
            layer_decay=self.layer_decay,
            l2=self.l2,
        )

    def keras_loss(self):
        """The loss, of logits."""
        if self.is_multi_label:
            return keras.losses.BinaryCrossentropy(
                from_logits=True, label_smoothing=self.label_smoothing
            )
        return ClassCrossentropy(label_smoothing=self.label_smoothing)

    def augmentation(self, std, seed=0):
        """Layers that features go through in training.

        Args:
            std: The frontend's deviation, in whose units the filter's gains are.
            seed: Integer.
        """
        chosen = []
        shares = tuple(self.resize_time), tuple(self.resize_frequency)
        if shares != ((1.0, 1.0), (1.0, 1.0)):
            chosen.append(layers.RandomResizedCrop(*shares, seed=seed + 1))
        if self.filter_decibels:
            chosen.append(
                layers.RandomFilter(self.filter_decibels, std=std, seed=seed + 2)
            )
        return chosen

    def data_options(self):
        """Arguments of `labelled_dataset` in training."""
        return {
            "seconds": self.seconds,
            "mixup": self.mixup,
            "frequency_mask": self.frequency_mask,
            "time_mask": self.time_mask,
            "mask_fill": self.mask_fill,
            "noise": self.noise,
            "roll_frames": self.roll_frames,
            "shift_probability": self.shift_probability,
            "balanced": self.balanced,
        }
