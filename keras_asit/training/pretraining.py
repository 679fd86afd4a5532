"""One pretraining run."""

import math
import warnings

import keras

from keras_asit import checkpoints, data
from keras_asit.callbacks import Checkpoint, EMATeacher
from keras_asit.data.sources import as_manifest
from keras_asit.models import ASiTPretrainer
from keras_asit.models.profiles import TRAINING
from keras_asit.optimizers import ScheduledAdamW, clipping
from keras_asit.schedules import WarmupCosine, cosine
from keras_asit.training.budget import ENDLESS
from keras_asit.training.seeding import seeded

EPOCH_STEPS = 100  # and no more: a budget sets the learning rate between epochs


def pretrain(
    backbone,
    paths,
    *,
    crop_seconds,
    budget,
    batch_size=32,
    weight_decay=0.04,
    final_weight_decay=None,
    momentum=0.99,
    final_momentum=1.0,
    teacher_temperature=0.04,
    final_teacher_temperature=None,
    temperature_steps=None,
    profile="paper",
    seed=0,
    folder=None,
    save_every=1000,
    callbacks=(),
    jit_compile="auto",
    **options,
):
    """Pretrains a backbone on clips without labels.

    Args:
        backbone: An `ASiTBackbone`, trained in place as the student.
        paths: A `Manifest`, the path of one, or paths of the clips.
        crop_seconds: Length of a view.
        budget: A `Budget`: learning rate and length of the run.
        batch_size: Clips in a batch.
        weight_decay: Weight decay at the start. This, the momentum and the temperature
            are for short runs of small models (docs/learning.md); the paper's are
            those of `optimizers.pretraining_optimizer` and `EMATeacher`.
        final_weight_decay: Weight decay at the end of a cosine; None keeps it constant.
        momentum: The teacher's momentum at the start.
        final_momentum: The teacher's momentum at the end.
        teacher_temperature: The teacher's temperature at the start.
        final_teacher_temperature: Its temperature after a linear rise by epochs of the
            history; None keeps it constant.
        temperature_steps: Steps of that rise, at most and by default the whole run.
        profile: Profile of the `ASiTPretrainer` and of the clipping of gradients.
        seed: Integer that fixes the heads, the views and the corruption.
        folder: Folder of the run's checkpoints. A run that was interrupted goes on from
            there, to the bit, if its budget is one of steps. None keeps nothing.
        save_every: Steps from one checkpoint to the next.
        callbacks: More callbacks.
        jit_compile: As of `ASiTPretrainer.compile`.
        **options: Options of the `ASiTPretrainer`.

    Returns:
        `(pretrainer, history)`; history maps a quantity to its value by epoch, a pass
        over the clips or 100 steps of it; of a run that was resumed that of its rest.

    Raises:
        ValueError: If the budget of a run with a folder, or with a final weight decay
            or temperature, has minutes.
    """
    if folder is not None and budget.minutes:
        raise ValueError(
            "Expected a budget of steps for a run that can be resumed; received "
            f"minutes={budget.minutes:g}. Give Budget(..., steps=...), or no folder."
        )
    finals = (final_weight_decay, final_teacher_temperature)
    if budget.minutes and finals != (None, None):
        raise ValueError(
            "Expected a budget of steps for a weight decay or a temperature that "
            f"changes; received minutes={budget.minutes:g}. Give "
            "Budget(..., steps=...), or neither of final_weight_decay and "
            "final_teacher_temperature."
        )
    manifest = as_manifest(paths)
    views = data.pretraining_dataset(
        manifest,
        batch_size=min(batch_size, len(manifest)),
        sample_rate=backbone.frontend.sample_rate,
        crop_seconds=crop_seconds,
        frontend=backbone.frontend,
        cache=True,
        seed=seed,
    )
    with seeded(seed):
        pretrainer = ASiTPretrainer(backbone, profile=profile, seed=seed, **options)
    row = TRAINING[profile]
    clips = clipping(row["clip"], row["clip_norm"])
    if final_weight_decay is not None:
        weight_decay = WarmupCosine(weight_decay, final_weight_decay, budget.steps)
    pretrainer.compile(
        optimizer=ScheduledAdamW(budget.peak, weight_decay=weight_decay, **clips),
        jit_compile=jit_compile,
    )
    if final_teacher_temperature is None:
        final_teacher_temperature = teacher_temperature
    teacher = EMATeacher(
        momentum,
        final_momentum,
        teacher_temperature,
        final_teacher_temperature,
        _epochs(temperature_steps, budget.steps, len(views)),
        total_steps=budget.steps,
    )
    saving = Checkpoint(folder, save_every) if folder is not None else None
    if saving is not None:
        budget.checkpoint = saving
        callbacks = [saving, *callbacks]
    if budget.minutes:
        callbacks = [_MomentumByBudget(budget, momentum, final_momentum), *callbacks]
    with warnings.catch_warnings():
        # The last epoch of a pass may be shorter.
        warnings.filterwarnings("ignore", message="Your input ran out of data")
        history = pretrainer.fit(
            views,
            epochs=0 if _is_finished(folder, budget) else ENDLESS,
            steps_per_epoch=EPOCH_STEPS if len(views) > EPOCH_STEPS else None,
            shuffle=False,  # The dataset does, by the seed.
            verbose=0,
            callbacks=[teacher, budget, *callbacks],
            resume=folder,
        )
    views.examples.reader.end_of_epoch()  # The budget may have ended within one.
    return pretrainer, history.history


def _epochs(steps, steps_of_run, steps_of_pass):
    """Epochs of `fit` in so many steps; the last one of a pass may be shorter."""
    if not steps_of_run:
        return 1  # of minutes; nothing rises
    steps = min(steps or steps_of_run, steps_of_run)
    epochs_of_pass = math.ceil(steps_of_pass / EPOCH_STEPS)
    return max(1, round(steps / steps_of_pass * epochs_of_pass))


def _is_finished(folder, budget):
    """Whether an earlier run did all steps; `fit` would do one more before it stops."""
    kept = [] if folder is None else checkpoints.paths_in(folder)
    return any(
        checkpoints.step_of(path) >= budget.steps and checkpoints.is_sound(path)
        for path in kept
    )


class _MomentumByBudget(keras.callbacks.Callback):
    """The teacher's momentum where the number of steps is not known.

    The same cosine as `EMATeacher`'s, of the share of the budget that is spent; set
    before every epoch, and constant within it.
    """

    def __init__(self, budget, momentum, final_momentum):
        super().__init__()
        self.budget = budget
        self.momentum, self.final_momentum = momentum, final_momentum

    def on_epoch_begin(self, epoch, logs=None):
        spent = self.budget.spent
        now = float(cosine(spent, self.momentum, self.final_momentum, 1.0))
        self.model.momentum_start.assign(now)
        self.model.momentum_end.assign(now)
