"""Pretraining and fine-tuning runs: the settings and the loops of the command line.

Small functions over the library's public parts; a recipe or a notebook can call
them or copy them.
"""

import dataclasses
import math
import time

import keras
import numpy as np
from tqdm import tqdm

from keras_asit import data
from keras_asit.audio import LogMelFilterbank
from keras_asit.callbacks import EMATeacher
from keras_asit.models import ASiTBackbone, ASiTClassifier, ASiTPretrainer
from keras_asit.models.classifier import cover
from keras_asit.optimizers import ScheduledAdamW
from keras_asit.schedules import WarmupCosine, cosine


@dataclasses.dataclass(frozen=True)
class SmallModel:
    """A backbone that two CPU cores can train in minutes.

    The frame shift follows the crop, so that a view has `num_frames` frames
    whatever its length: tokens are the cost.

    Attributes:
        sample_rate: Hz.
        crop_seconds: Length of a view.
        num_frames: Frames of a view.
        num_mel_bins: Mel bins.
        hidden_dim: Width.
        num_layers: Blocks.
        num_heads: Attention heads.
    """

    sample_rate: int = 16000
    crop_seconds: float = 2.0
    num_frames: int = 96
    num_mel_bins: int = 64
    hidden_dim: int = 128
    num_layers: int = 4
    num_heads: int = 4

    def frontend(self, mean=None, std=None):
        """The filterbank: frames overlap or touch, and fill the crop."""
        length_ms = 25.0
        shift_ms = (1000 * self.crop_seconds - length_ms) / (self.num_frames - 1)
        # Whole samples, rounded down, so that the last frame fits into the crop.
        shift_ms = math.floor(shift_ms * self.sample_rate / 1000) / self.sample_rate
        return LogMelFilterbank(
            sample_rate=self.sample_rate,
            num_mel_bins=self.num_mel_bins,
            frame_length_ms=length_ms,
            frame_shift_ms=1000 * shift_ms,
            num_frames=self.num_frames,
            mean=mean,
            std=std,
        )

    def backbone(self, frontend):
        """A new backbone with random weights."""
        return ASiTBackbone(
            input_shape=(self.num_frames, self.num_mel_bins),
            hidden_dim=self.hidden_dim,
            num_layers=self.num_layers,
            num_heads=self.num_heads,
            mlp_dim=4 * self.hidden_dim,
            frontend=frontend,
        )


class Budget(keras.callbacks.Callback):
    """Lets the learning rate follow a budget of minutes or of steps.

    The learning rate is set before every epoch: a linear warm-up, then a cosine,
    of the share of the budget that is spent; `fit` ends when it is spent. Time
    counts from the end of the first step, which compiles. A run of a given
    number of steps can be repeated exactly, one of minutes follows the machine.

    Args:
        peak: Learning rate after the warm-up.
        minutes: Minutes of training, or None.
        steps: Steps of training, or None; the first budget spent ends the run.
        warmup: Share of the budget for the warm-up.
        final: Learning rate at the end.
        label: What the progress bar says.
        schedule: False where the optimiser has a schedule of its own.
    """

    def __init__(
        self,
        peak,
        minutes=None,
        steps=None,
        warmup=0.1,
        final=1e-6,
        label="training",
        schedule=True,
    ):
        super().__init__()
        if not minutes and not steps:
            raise ValueError("Expected minutes or steps above 0; received neither.")
        self.peak, self.minutes, self.steps = peak, minutes, steps
        self.warmup, self.final, self.label = warmup, final, label
        self.schedule = schedule
        self.steps_done, self._start = 0, None

    @property
    def spent(self):
        """Share of the budget that is spent, in [0, 1]."""
        shares = [0.0]
        if self.minutes and self._start:
            shares.append((time.monotonic() - self._start) / (60 * self.minutes))
        if self.steps:
            shares.append(self.steps_done / self.steps)
        return min(1.0, max(shares))

    def rate(self, spent):
        """The learning rate at a share of the budget."""
        if spent < self.warmup:
            return self.peak * max(spent, 0.05 * self.warmup) / self.warmup
        after = (spent - self.warmup) / (1 - self.warmup)
        return float(cosine(after, self.peak, self.final, 1.0))

    def on_train_begin(self, logs=None):
        self._bar = tqdm(total=100, desc=self.label, unit="%", bar_format=_BAR)

    def on_epoch_begin(self, epoch, logs=None):
        if self.schedule:
            self.model.optimizer.learning_rate = self.rate(self.spent)

    def on_train_batch_end(self, batch, logs=None):
        self.steps_done += 1
        if self._start is None:
            self._start = time.monotonic()
        if self.spent >= 1:
            self.model.stop_training = True
        self._bar.update(round(100 * self.spent, 1) - self._bar.n)

    def on_epoch_end(self, epoch, logs=None):
        values = {name: f"{value:.3f}" for name, value in (logs or {}).items()}
        self._bar.set_postfix(values, refresh=False)

    def on_train_end(self, logs=None):
        self._bar.close()


_BAR = "{desc}: {percentage:3.0f} % |{bar}| {elapsed}, {remaining} left{postfix}"


def normalisation(manifest, frontend, clips=200, seed=0):
    """Mean and deviation of the log-mel values of clips, before normalisation.

    Args:
        manifest: The training clips; at most `clips` of them are looked at.
        frontend: A `LogMelFilterbank`; its own mean and deviation are not used.
        clips: How many clips to look at.
        seed: Integer that chooses them.

    Returns:
        `(mean, std)`, for `LogMelFilterbank(mean=..., std=...)`.
    """
    config = {**frontend.get_config(), "mean": None, "std": None, "num_frames": None}
    plain = LogMelFilterbank.from_config(config)
    chosen = np.random.default_rng(seed).permutation(len(manifest))[:clips]
    reader = data.ClipReader(
        manifest.paths[np.sort(chosen)], plain.sample_rate, max_failure_share=1.0
    )
    shortest = plain.samples(1)
    count, total, squares = 0, 0.0, 0.0
    for index in range(len(reader)):
        wave = reader.read(index)
        if wave is None or len(wave) < shortest:
            continue
        values = keras.ops.convert_to_numpy(plain(wave)).astype("float64")
        count += values.size
        total += values.sum()
        squares += (values**2).sum()
    if not count:
        raise ValueError(f"No clip could be read:\n{reader.describe_failures()}")
    mean = total / count
    return float(mean), float(max(squares / count - mean**2, 1e-4) ** 0.5)


def pretrain(
    backbone,
    paths,
    *,
    crop_seconds,
    budget,
    batch_size=32,
    weight_decay=0.04,
    momentum=0.99,
    final_momentum=1.0,
    teacher_temperature=0.04,
    profile="paper",
    seed=0,
    callbacks=(),
    **options,
):
    """Pretrains a backbone on clips without labels.

    Args:
        backbone: An `ASiTBackbone`, trained in place as the student.
        paths: A `Manifest` or paths of the clips.
        crop_seconds: Length of a view.
        budget: A `Budget`: learning rate and length of the run.
        batch_size: Clips in a batch.
        weight_decay: Weight decay.
        momentum: The teacher's momentum at the start.
        final_momentum: The teacher's momentum at the end.
        teacher_temperature: The teacher's temperature, constant.
        profile: Profile of the `ASiTPretrainer`.
        seed: Integer that fixes views and corruption.
        callbacks: More callbacks.
        **options: Options of the `ASiTPretrainer`.

    Returns:
        `(pretrainer, history)`; history maps a quantity to its value by epoch.
    """
    views = data.pretraining_dataset(
        paths,
        batch_size=min(batch_size, len(paths)),
        sample_rate=backbone.frontend.sample_rate,
        crop_seconds=crop_seconds,
        frontend=backbone.frontend,
        cache=True,
        seed=seed,
    )
    pretrainer = ASiTPretrainer(backbone, profile=profile, seed=seed, **options)
    pretrainer.compile(
        optimizer=ScheduledAdamW(
            budget.peak, weight_decay=weight_decay, global_clipnorm=3.0
        )
    )
    teacher = EMATeacher(
        momentum,
        final_momentum,
        teacher_temperature,
        teacher_temperature,
        total_steps=budget.steps or 1,
    )
    history = pretrainer.fit(
        views,
        epochs=_ENDLESS,
        verbose=0,
        callbacks=[teacher, budget, *callbacks],
    )
    return pretrainer, history.history


_ENDLESS = 1_000_000  # The budget ends the run.


class FineTuning:
    """Fine-tunes one network again and again under one budget.

    The network is built and compiled once; every run starts from given backbone
    weights and a new head, with a new optimiser state.

    Args:
        backbone: An `ASiTBackbone` whose architecture is fine-tuned; a copy is.
        class_names: Names of the classes.
        crop_seconds: Length of a training crop.
        steps: Steps of a run.
        batch_size: Clips in a batch.
        learning_rate: Peak of the learning rate.
        weight_decay: Weight decay.
        drop_path: Stochastic depth.
        pooling: Of the `ASiTClassifier`.
    """

    def __init__(
        self,
        backbone,
        class_names,
        *,
        crop_seconds,
        steps=300,
        batch_size=32,
        learning_rate=5e-4,
        weight_decay=0.05,
        drop_path=0.1,
        pooling="mean",
    ):
        config = {**backbone.get_config(), "name": "fine_tuned", "trainable": True}
        self.classifier = ASiTClassifier(
            ASiTBackbone.from_config({**config, "drop_path": drop_path}),
            len(class_names),
            pooling=pooling,
            class_names=class_names,
        )
        self.classifier.compile(
            optimizer=ScheduledAdamW(
                WarmupCosine(learning_rate, 1e-6, steps, steps // 10),
                weight_decay=weight_decay,
                global_clipnorm=3.0,
            )
        )
        self.classifier.optimizer.build(self.classifier.trainable_variables)
        self.crop_seconds, self.steps, self.batch_size = crop_seconds, steps, batch_size
        self._optimizer_state = _values(self.classifier.optimizer.variables)
        self._seed_state = _values(self.classifier.non_trainable_variables)

    def run(self, clips, weights=None, seed=0, callbacks=()):
        """One run.

        Args:
            clips: `Manifest` of the training clips, one label each.
            weights: Backbone to start from, or None for random weights.
            seed: Integer that fixes the random weights, the order and the crops.
            callbacks: Callbacks of `fit`.

        Returns:
            `(classifier, history)`. The classifier is used again by the next run.
        """
        self._reset(weights, seed)
        classifier, batch_size = self.classifier, min(self.batch_size, len(clips))
        frontend = classifier.backbone.frontend
        train = data.labelled_dataset(
            clips,
            batch_size=batch_size,
            sample_rate=frontend.sample_rate,
            seconds=self.crop_seconds,
            frontend=frontend,
            class_names=classifier.class_names,
            training=True,
            shift_probability=0.5,
            cache=True,
            seed=seed,
        )
        stop = Budget(1.0, steps=self.steps, label="fine-tuning", schedule=False)
        history = classifier.fit(
            train, epochs=_ENDLESS, verbose=0, callbacks=[stop, *callbacks]
        )
        return classifier, history.history

    def _reset(self, weights, seed):
        classifier = self.classifier
        keras.utils.set_random_seed(seed)
        config = {**classifier.backbone.get_config(), "name": "new_backbone"}
        start = weights or ASiTBackbone.from_config(config)
        for ours, theirs in zip(
            classifier.backbone.weights, start.weights, strict=True
        ):
            ours.assign(keras.ops.copy(theirs))
        initial = keras.initializers.TruncatedNormal(stddev=0.02)
        kernel, bias = classifier.head.weights
        kernel.assign(initial(kernel.shape))
        bias.assign(keras.ops.zeros(bias.shape))
        _assign(classifier.optimizer.variables, self._optimizer_state)
        _assign(classifier.non_trainable_variables, self._seed_state)


def _values(variables):
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def _assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def clip_probabilities(classifier, clips):
    """Class probabilities of clips of any length, as `predict_file` gives them.

    Args:
        classifier: An `ASiTClassifier`.
        clips: A `Manifest`.

    Returns:
        `(probabilities, indices)`: `(N, C)`, and the numbers of the N clips that
        could be read; a warning names the others.
    """
    backbone = classifier.backbone
    frontend = backbone.frontend
    reader = data.ClipReader(clips.paths, frontend.sample_rate, cache=True)
    indices = reader.readable()
    samples = frontend.samples(backbone.num_frames)
    windows = [cover(reader.read(index), samples) for index in indices]
    scores = classifier.probabilities(np.concatenate(windows))
    ends = np.cumsum([len(group) for group in windows])[:-1]
    return np.stack([group.mean(axis=0) for group in np.split(scores, ends)]), indices
