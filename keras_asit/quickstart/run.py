"""The main job of the command line: does pretraining help on these clips?

Pretrains a small ASiT without labels, then fine-tunes the teacher's backbone and
the same backbone from random weights under one budget, and compares both on
held-out clips, beside the floor of log-mel statistics and logistic regression.
"""

import contextlib
import dataclasses
import json
import logging
import sys
import time
from pathlib import Path

import keras
import numpy as np

from keras_asit import data, evaluation, pictures, presets, training
from keras_asit.quickstart.clips import few_labels, load_task, model_for
from keras_asit.version import __version__

log = logging.getLogger("keras_asit.quickstart")

PRETRAINING_RATE = 2e-3
PRETRAINING = {
    "local_dim": 256,
    "global_dim": 256,
    "projection_hidden_dims": (256, 256),
    "projection_bottleneck_dim": 64,
    "reconstruction_hidden_dims": (256,),
    "drop_path": 0.0,
}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run is made of; written to `run.json`.

    Attributes:
        data: Manifest of labelled clips; None for generated sound events.
        out: Folder of the run.
        minutes: Minutes for the whole run; pretraining gets what the rest leaves.
        pretraining_steps: Steps of pretraining instead of minutes.
        labels_per_class: Labelled clips a class for fine-tuning; 0 for all.
        fold: The fold that is held out, where the manifest has folds.
        unlabelled: Further manifests whose clips are used for pretraining.
        seed: Fixes weights, crops, corruption and the choice of labelled clips.
        fine_tuning_steps: Steps of each fine-tuning.
    """

    data: str | None = None
    out: str = "runs/quickstart"
    minutes: float = 5.0
    pretraining_steps: int = 0
    labels_per_class: int = 10
    fold: str = "1"
    unlabelled: tuple = ()
    seed: int = 0
    fine_tuning_steps: int = 300


def run(settings):
    """Runs the whole job and returns its results, as in `results.json`.

    Args:
        settings: `Settings`.

    Raises:
        ValueError: If the clips or the folder cannot be used, in words for the user.
        ImportError: If matplotlib, which draws the pictures, is not installed.
    """
    started = time.monotonic()
    pictures.need_matplotlib()
    task = load_task(settings)
    out = new_folder(settings.out)
    with _logging_to(out / "log.txt"):
        _write_json(out / "run.json", dataclasses.asdict(settings))
        results = _run(settings, task, out, started)
        log.info("")
        log.info("Everything is in %s", out)
        log.info(last_line(results))
    return results


def _run(settings, task, out, started):
    keras.utils.set_random_seed(settings.seed)
    log.info(
        "%d labelled clips to train with, %d held out (%s), %d for pretraining",
        *(len(task.train), len(task.test), task.held_out, len(task.pretraining)),
    )
    model = model_for(task.train)
    frontend = model.frontend(
        *training.normalisation(task.train, model.frontend(), seed=settings.seed)
    )
    labelled = few_labels(task.train, settings.labels_per_class, settings.seed)
    floor = 100 * floor_accuracy(labelled, task.test, frontend)
    log.info("floor, log-mel statistics and logistic regression: %.1f %%", floor)

    tuning = training.FineTuning(
        model.backbone(frontend),
        task.train.class_names,
        crop_seconds=model.crop_seconds,
        steps=settings.fine_tuning_steps,
    )
    scores, histories = {}, {}
    scores["scratch"], histories["scratch"] = _tune(tuning, labelled, task, settings)
    log.info("from random weights: %.1f %%", scores["scratch"])

    minutes = _minutes_left(settings, started)
    pretrainer, history = _pretrain(model, frontend, task, settings, minutes)
    presets.save(
        pretrainer.teacher,
        out,
        trained_on=f"asit quickstart, {len(task.pretraining)} clips of "
        f"{settings.data or 'generated sound events'} without labels",
    )
    scores["pretrained"], histories["pretrained"] = _tune(
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
        "pretraining": {k: [float(v) for v in h] for k, h in history.items()},
        "pretraining_steps": int(pretrainer.steps_done),
        "fine_tuning": {
            run: {k: [float(v) for v in h] for k, h in values.items()}
            for run, values in histories.items()
        },
        "seconds": round(time.monotonic() - started, 1),
        "versions": {"keras_asit": __version__, "keras": keras.__version__},
        "backend": keras.backend.backend(),
    }
    _write_json(out / "results.json", results)
    _draw(out, task, model, pretrainer, history, histories, scores, floor)
    return results


def last_line(results):
    """The sum of a run in one line."""
    accuracy = results["accuracy"]
    return (
        f"held-out accuracy: scratch {accuracy['scratch']:.1f} %, "
        f"pretrained {accuracy['pretrained']:.1f} %, chance {results['chance']:.1f} %"
    )


# The steps of the run.


def floor_accuracy(train, test, frontend):
    """Logistic regression on log-mel statistics of whole clips, a fraction."""
    plain = type(frontend).from_config({**frontend.get_config(), "num_frames": None})

    def statistics(manifest):
        reader = data.ClipReader(manifest.paths, frontend.sample_rate, cache=True)
        readable = reader.readable()
        fbanks = (plain(_at_least(reader.read(index), plain)) for index in readable)
        rows = [
            evaluation.log_mel_statistics(keras.ops.convert_to_numpy(fbank)[None])[0]
            for fbank in fbanks
        ]
        return np.stack(rows), manifest.targets()[readable]

    return evaluation.linear_probe(
        *statistics(train), *statistics(test), regularisation=10.0
    )


def _at_least(wave, frontend, frames=4):
    return np.pad(wave, (0, max(0, frontend.samples(frames) - len(wave))))


def _tune(tuning, labelled, task, settings, weights=None):
    """Held-out accuracy in percent and the history of one fine-tuning."""
    classifier, history = tuning.run(labelled, weights, seed=settings.seed)
    scores, readable = training.clip_probabilities(classifier, task.test)
    targets = task.test.targets()[readable]
    return 100 * float(evaluation.accuracy(targets, scores)), history


def _minutes_left(settings, started):
    """Minutes for pretraining: what the budget has after one more fine-tuning."""
    spent = (time.monotonic() - started) / 60
    return max(0.1, settings.minutes - 1.6 * spent)


def _pretrain(model, frontend, task, settings, minutes):
    budget = training.Budget(
        PRETRAINING_RATE,
        minutes=None if settings.pretraining_steps else minutes,
        steps=settings.pretraining_steps or None,
        label="pretraining",
    )
    return training.pretrain(
        model.backbone(frontend),
        task.pretraining,
        crop_seconds=model.crop_seconds,
        budget=budget,
        seed=settings.seed,
        **PRETRAINING,
    )


# What is left behind.


def new_folder(out):
    """Makes the folder of a run; one that holds files gets a number instead.

    Raises:
        ValueError: If there cannot be such a folder.
    """
    wanted = folder = Path(out).absolute()
    number = 1
    try:
        while folder.is_dir() and any(folder.iterdir()):
            number += 1
            folder = wanted.with_name(f"{wanted.name}-{number}")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"Cannot make the folder {out} ({error.strerror}). Name one to write to."
        ) from error
    return folder


def _draw(out, task, model, pretrainer, history, histories, scores, floor):
    frontend = pretrainer.student.frontend
    shown = _readable_clips(task.test, frontend.sample_rate)
    views = data.pretraining_dataset(
        shown,
        batch_size=len(shown),
        sample_rate=frontend.sample_rate,
        crop_seconds=model.crop_seconds,
        frontend=frontend,
        shuffle=False,
    )
    arrays = pretrainer.reconstruct(next(iter(views)))
    drawn = {
        "reconstructions.png": pictures.reconstructions(
            arrays, titles=list(shown.labels), seconds=model.crop_seconds
        ),
        "pretraining.png": pictures.learning_curves(
            {"pretraining": history}, "pretraining"
        ),
        "fine_tuning.png": pictures.learning_curves(histories, "fine-tuning"),
        "accuracy.png": pictures.bars(
            {"floor (log-mel statistics)": floor, **scores},
            "held-out accuracy",
            reference=("chance", 100 / len(task.train.class_names)),
        ),
    }
    for name, figure in drawn.items():
        pictures.save(figure, out / name)


def _readable_clips(manifest, sample_rate, number=4):
    """Up to `number` clips from all over a manifest."""
    reader = data.ClipReader(manifest.paths, sample_rate, max_failure_share=1.0)
    starts = np.linspace(0, len(manifest), number, endpoint=False).astype(int)
    return manifest.take(sorted({reader.read_or_next(i)[1] for i in starts}))


def _write_json(path, value):
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


@contextlib.contextmanager
def _logging_to(path):
    """Shows the log on the screen and keeps it, with the warnings, in a file."""
    warned = logging.getLogger("py.warnings")
    file = logging.FileHandler(path, encoding="utf-8")
    handlers = [
        (log, logging.StreamHandler(sys.stdout)),
        (log, file),
        (warned, logging.StreamHandler(sys.stderr)),
        (warned, file),
    ]
    log.setLevel(logging.INFO)
    logging.captureWarnings(True)
    for logger, handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        for logger, handler in handlers:
            logger.removeHandler(handler)
        file.close()
