"""The folder of a run: its log, its numbers and its pictures."""

import contextlib
import json
import logging
import os
import sys
from pathlib import Path

import numpy as np

from keras_asit import data, pictures

log = logging.getLogger("keras_asit.quickstart")


def new_folder(out):
    """Makes the folder of a run; one that holds files gets a number instead.

    Raises:
        ValueError: If there cannot be such a folder, or it holds files and is where the
            program works or above it.
    """
    wanted = folder = Path(out).resolve()
    here = Path.cwd()
    number = 1
    try:
        if wanted in (here, *here.parents) and any(wanted.iterdir()):
            raise ValueError(
                f"Expected a new folder for the run; {out} is where other files are. "
                "Name one inside of it, as runs/quickstart."
            )
        while folder.is_dir() and any(folder.iterdir()):
            number += 1
            folder = wanted.with_name(f"{wanted.name}-{number}")
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"Cannot make the folder {out} ({error.strerror}). Name one to write to."
        ) from error
    return folder


def draw(out, task, model, pretrainer, history, histories, scores, floor):
    """Draws the four pictures of a run.

    Args:
        out: The folder.
        task: `Task`; four of its held-out clips are reconstructed.
        model: `SmallModel`.
        pretrainer: The trained `ASiTPretrainer`.
        history: Of the pretraining.
        histories: Of the fine-tunings, `{run: history}`.
        scores: Accuracies in percent, `{run: accuracy}`.
        floor: Accuracy of the floor in percent.
    """
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
    reader = data.ClipReader(manifest, sample_rate, max_failure_share=1.0)
    starts = np.linspace(0, len(manifest), number, endpoint=False).astype(int)
    return manifest.take(sorted({reader.read_or_next(i)[1] for i in starts}))


def write_json(path, value):
    text = json.dumps(value, indent=2, default=os.fspath)
    path.write_text(text + "\n", encoding="utf-8")


@contextlib.contextmanager
def logging_to(path):
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
