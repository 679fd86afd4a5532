"""The main job of the command line: does pretraining help on these clips?

Pretrains a small ASiT without labels, then fine-tunes the teacher's backbone and
the same backbone from random weights under one budget, and compares both on
held-out clips, beside the floor of log-mel statistics and logistic regression.
"""

import dataclasses
import logging
import time

import keras
import numpy as np

from keras_asit import data, evaluation, pictures, presets, training
from keras_asit.models.profiles import PRETRAINER
from keras_asit.quickstart.clips import (
    few_labels,
    load_task,
    missing_classes,
    model_for,
)
from keras_asit.quickstart.folder import draw, logging_to, new_folder, write_json
from keras_asit.training.settings import settings_of
from keras_asit.version import __version__

log = logging.getLogger("keras_asit.quickstart")

# What made pretraining pay at this size, and why, is told in docs/learning.md.
PRETRAINING_RATE = 1e-3
PRETRAINING = {
    "momentum": 0.97,
    "teacher_temperature": 0.04,
    "weight_decay": 0.02,
    "reconstruction_weight": 0.5,
    "local_weight": 0.2,
    "corruption_ratio": 0.3,
    "alien_probability": 0.2,
    "centering": "balanced",
    "local_dim": 128,
    "global_dim": 128,
    "projection_hidden_dims": (256, 256),
    "projection_bottleneck_dim": 64,
    "reconstruction_hidden_dims": (256,),
    "reconstruction_bottleneck_dim": 256,
    "drop_path": 0.0,
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run is asked for.

    Attributes:
        data: Path of the manifest of labelled clips; None for generated sound events.
        out: Folder of the run.
        minutes: About the minutes of the whole run; pretraining gets what the rest
            leaves, by what it took until then.
        pretraining_steps: Steps of pretraining instead of minutes.
        labels_per_class: Labelled clips a class for fine-tuning; 0 for all.
        fold: The fold that is held out, where the manifest has folds.
        unlabelled: Further manifests whose clips are used for pretraining.
        seed: Fixes weights, crops, corruption and the choice of labelled clips.
        fine_tuning_steps: Steps of each fine-tuning.
        filter_decibels: Largest gain of the random filters of views; 0 for none.
    """

    data: str | None = None
    out: str = "runs/quickstart"
    minutes: float = 5.0
    pretraining_steps: int = 0
    labels_per_class: int = 10
    fold: str = "1"
    unlabelled: tuple = ()
    seed: int = 0
    fine_tuning_steps: int = 200
    filter_decibels: float = 0.0


def run(settings):
    """Runs the whole job and returns its results, as in `results.json`.

    Args:
        settings: `Settings`.

    Returns:
        A dictionary: `accuracy` in percent of `scratch` and `pretrained`, `floor`,
        `chance`, the histories, and how they were made.

    Raises:
        ValueError: If the clips or the folder cannot be used, in words for the user.
        ImportError: If matplotlib, which draws the pictures, is not installed.
    """
    started = time.monotonic()
    pictures.need_matplotlib()
    task = load_task(settings)
    out = new_folder(settings.out)
    with logging_to(out / "log.txt"):
        results = _run(settings, task, out, started)
        log.info("")
        log.info("Everything is in %s", out)
        log.info(last_line(results))
    return results


def _run(settings, task, out, started):
    log.info(
        "%d labelled clips to train with, %d held out (%s), %d for pretraining",
        *(len(task.train), len(task.test), task.held_out, len(task.pretraining)),
    )
    if missing := missing_classes(task):
        log.info("no clip to train with of %s; held-out ones are wrong", missing)
    model, frontend = model_and_frontend(task, settings)
    write_json(out / "run.json", configuration(settings, model))
    labelled = few_labels(task.train, settings.labels_per_class, settings.seed)
    floor = 100 * floor_accuracy(labelled, task.test, frontend)
    log.info("floor, log-mel statistics and logistic regression: %.1f %%", floor)

    tuning = fine_tuning(model, frontend, task, settings)
    scores, histories = {}, {}
    scores["scratch"], histories["scratch"] = fine_tune(
        tuning, labelled, task, settings
    )
    log.info("from random weights: %.1f %%", scores["scratch"])

    minutes = _minutes_left(settings, started)
    pretrainer, history = pretrain_small(model, frontend, task, settings, minutes)
    presets.save(
        pretrainer.teacher,
        out,
        trained_on=f"asit quickstart, {len(task.pretraining)} clips of "
        f"{settings.data or 'generated sound events'} without labels",
    )
    scores["pretrained"], histories["pretrained"] = fine_tune(
        tuning, labelled, task, settings, pretrainer.teacher
    )
    log.info("from the pretrained backbone: %.1f %%", scores["pretrained"])
    results = {
        "accuracy": scores,
        "floor": floor,
        "chance": 100 / len(task.train.class_names),
        "labels_per_class": settings.labels_per_class,
        "held_out": task.held_out,
        "held_out_clips": len(task.test),
        "pretraining": _numbers(history),
        "pretraining_steps": int(pretrainer.steps_done),
        "fine_tuning": {run: _numbers(values) for run, values in histories.items()},
        "seconds": round(time.monotonic() - started, 1),
        "versions": {"keras_asit": __version__, "keras": keras.__version__},
        "backend": keras.backend.backend(),
    }
    write_json(out / "results.json", results)
    draw(out, task, model, pretrainer, history, histories, scores, floor)
    return results


def configuration(settings, model):
    """All that a run depends on but the clips: asked for, chosen, and by default."""
    length = {"steps": settings.fine_tuning_steps}
    return {
        **dataclasses.asdict(settings),
        "model": dataclasses.asdict(model),
        "pretraining": pretraining_settings(filter_decibels=settings.filter_decibels),
        "fine_tuning": settings_of(training.FineTuning, length),
        "versions": {"keras_asit": __version__, "keras": keras.__version__},
        "backend": keras.backend.backend(),
    }


def pretraining_settings(**changes):
    """The quickstart's pretraining with changes, all defaults included."""
    options = settings_of(training.pretrain, {**PRETRAINING, **changes})
    row = PRETRAINER[options["profile"]]
    return {"learning_rate": PRETRAINING_RATE, **row, **options}


def _numbers(history):
    return {name: [float(value) for value in row] for name, row in history.items()}


def last_line(results):
    """The sum of a run in one line."""
    accuracy = results["accuracy"]
    return (
        f"held-out accuracy: scratch {accuracy['scratch']:.1f} %, "
        f"pretrained {accuracy['pretrained']:.1f} %, chance {results['chance']:.1f} %"
    )


# The steps of the run; benchmarks/pretraining_gain.py repeats them.


def model_and_frontend(task, settings):
    """The small model for the clips, and its filterbank normalised on them."""
    model = model_for(task.train)
    return model, model.frontend(
        *training.normalisation(task.train, model.frontend(), seed=settings.seed)
    )


def floor_accuracy(train, test, frontend):
    """Logistic regression on log-mel statistics of whole clips, a fraction."""
    plain = type(frontend).from_config({**frontend.get_config(), "num_frames": None})

    def statistics(manifest):
        reader = data.ClipReader(manifest, frontend.sample_rate, cache=True)
        readable = reader.readable()
        waves = (_at_least(reader.read(index), plain) for index in readable)
        fbanks = (training.clip_log_mel(wave, plain) for wave in waves)
        rows = [evaluation.log_mel_statistics(fbank[None])[0] for fbank in fbanks]
        return np.stack(rows), manifest.targets()[readable]

    return evaluation.linear_probe(
        *statistics(train), *statistics(test), regularisation=10.0
    )


def _at_least(wave, frontend, frames=4):
    return np.pad(wave, (0, max(0, frontend.samples(frames) - len(wave))))


def fine_tuning(model, frontend, task, settings):
    """The fine-tuning that both starts go through."""
    return training.FineTuning(
        model.backbone(frontend),
        task.train.class_names,
        crop_seconds=model.crop_seconds,
        steps=settings.fine_tuning_steps,
    )


def fine_tune(tuning, labelled, task, settings, weights=None):
    """Held-out accuracy in percent and the history of one fine-tuning."""
    classifier, history = tuning.run(labelled, weights, seed=settings.seed)
    scores, readable = training.clip_probabilities(classifier, task.test)
    targets = task.test.targets()[readable]
    return 100 * float(evaluation.accuracy(targets, scores)), history


def _minutes_left(settings, started):
    """Minutes for pretraining: what the budget has after one more fine-tuning.

    That, the compilation and the pictures are taken to last 0.6 of the time until
    now, most of which was the first fine-tuning.
    """
    spent = (time.monotonic() - started) / 60
    return max(0.1, settings.minutes - 1.6 * spent)


def pretrain_small(model, frontend, task, settings, minutes, **changes):
    """Pretrains for the minutes or the settings' steps: `(pretrainer, history)`.

    `changes` are arguments of `training.pretrain` other than the quickstart's.
    """
    budget = training.Budget(
        PRETRAINING_RATE,
        minutes=None if settings.pretraining_steps else minutes,
        steps=settings.pretraining_steps or None,
        label="pretraining",
    )
    with training.seeded(settings.seed):
        backbone = model.backbone(frontend)
    return training.pretrain(
        backbone,
        task.pretraining,
        crop_seconds=model.crop_seconds,
        budget=budget,
        seed=settings.seed,
        **{**PRETRAINING, "filter_decibels": settings.filter_decibels, **changes},
    )
