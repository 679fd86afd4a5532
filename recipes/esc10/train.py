"""Pretraining and fine-tuning on ESC-10, five folds.

    python -m recipes.esc10.train --data MANIFEST --out DIR [--folds 1 2] [--seeds 0 1]

Every stage of a fold leaves its result in DIR when it is done, so that a run that was
cut off goes on where it was, and folds can be run one by one. `results.json` and
`results.md` sum up all that is there.
"""

import argparse
import dataclasses
import functools
import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path

import keras

from keras_asit import cli, data, evaluation, presets, training
from keras_asit.quickstart.clips import few_labels, split
from keras_asit.quickstart.job import floor_accuracy, with_defaults
from recipes.esc10 import config, prepare, results

INITIAL = ("scratch", "pretrained")


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is done to each fold.

    Attributes:
        model_for: Function from the training clips to a `SmallModel`.
        pretraining: Options of `training.pretrain`.
        peak: Learning rate of the pretraining.
        minutes: Minutes of pretraining; None with steps.
        steps: Steps of pretraining; None with minutes.
        fine_tuning: Options of `training.FineTuning`.
        labels: Labelled clips a class for fine-tuning; 0 for all.
    """

    model_for: object
    pretraining: dict
    peak: float
    minutes: float | None
    steps: int | None
    fine_tuning: dict
    labels: int

    @property
    def labels_folder(self):
        return f"labels-{self.labels or 'all'}"


class FoldRun:
    """One fold held out, with one seed; no clip is decoded before it is needed.

    Args:
        manifest: All clips.
        fold: The fold that is held out.
        seed: Fixes weights, crops, corruption and the choice of labelled clips.
        plan: A `Plan`.
        out: Folder of the recipe's runs.
        made_by: Dictionary of config, command, commit and machine.
    """

    def __init__(self, manifest, fold, seed, plan, out, made_by):
        self.train, self.test, _ = split(manifest, fold)
        self.seed, self.plan, self.made_by = seed, plan, made_by
        self.model = plan.model_for(self.train)
        self.out, self.name = Path(out), f"fold-{fold}/seed-{seed}"
        self.settings = {
            "clips": [len(self.train), len(self.test)],
            "model": dataclasses.asdict(self.model),
            "backend": keras.backend.backend(),
        }

    @functools.cached_property
    def frontend(self):
        plain = self.model.frontend()
        constants = training.normalisation(self.train, plain, seed=self.seed)
        return self.model.frontend(*constants)

    @functools.cached_property
    def labelled(self):
        return few_labels(self.train, self.plan.labels, self.seed)

    @functools.cached_property
    def tuning(self):
        return training.FineTuning(
            self.model.backbone(self.frontend),
            self.train.class_names,
            crop_seconds=self.model.crop_seconds,
            **self.plan.fine_tuning,
        )

    @property
    def pretraining_settings(self):
        plan = self.plan
        length = {"steps": plan.steps} if plan.steps else {"minutes": plan.minutes}
        options = with_defaults(training.pretrain, plan.pretraining)
        options |= {"peak": plan.peak, "seed": self.seed, **length}
        return {**self.settings, "pretraining": options}

    def pretrained(self):
        """The teacher's backbone, from the training folds without their labels."""
        name, settings = f"{self.name}/pretraining.json", self.pretraining_settings
        results.stage(self.out, name, settings, self._pretrain, self.made_by)
        return presets.load(self.out / self.name / "backbone", load_weights=True)

    def _pretrain(self):
        started, plan = time.monotonic(), self.plan
        with training.seeded(self.seed):
            backbone = self.model.backbone(self.frontend)
        pretrainer, history = training.pretrain(
            backbone,
            self.train,
            crop_seconds=self.model.crop_seconds,
            budget=training.Budget(
                plan.peak, minutes=plan.minutes, steps=plan.steps, label="pretraining"
            ),
            seed=self.seed,
            **plan.pretraining,
        )
        presets.save(
            pretrainer,
            self.out / self.name / "backbone",
            trained_on=f"recipes.esc10, {len(self.train)} clips without labels",
        )
        return {
            "steps": int(pretrainer.steps_done),
            "history": {k: [float(v) for v in h] for k, h in history.items()},
            "seconds": time.monotonic() - started,
        }

    def score(self, name):
        """Accuracy in percent on the held-out fold: floor, scratch or pretrained."""
        settings, weights = dict(self.settings), None
        file = f"{self.name}/{self.plan.labels_folder}/{name}.json"
        options = with_defaults(training.FineTuning, self.plan.fine_tuning)
        settings["fine_tuning"] = {**options, "labels": self.plan.labels}
        if name == "pretrained":
            settings |= self.pretraining_settings
            weights = None if (self.out / file).is_file() else self.pretrained()
        run = functools.partial(self._fine_tune, weights)
        run = self._floor if name == "floor" else run
        return results.stage(self.out, file, settings, run, self.made_by)["accuracy"]

    def _fine_tune(self, weights):
        started = time.monotonic()
        classifier, _ = self.tuning.run(self.labelled, weights, seed=self.seed)
        scores, readable = training.clip_probabilities(classifier, self.test)
        accuracy = evaluation.accuracy(self.test.targets()[readable], scores)
        return {
            "accuracy": 100 * float(accuracy),
            "scored_clips": len(readable),
            "seconds": time.monotonic() - started,
        }

    def _floor(self):
        started = time.monotonic()
        accuracy = floor_accuracy(self.labelled, self.test, self.frontend)
        return {"accuracy": 100 * accuracy, "seconds": time.monotonic() - started}


def run(manifest, out, plan, folds, seeds, names, made_by):
    """Runs folds and seeds, and sums up all that the folder holds.

    Args:
        manifest: Path of the manifest.
        out: Folder of the runs.
        plan: A `Plan`.
        folds: Folds to hold out, one after the other.
        seeds: Integers.
        names: Of the scores: floor, scratch, pretrained.
        made_by: Dictionary of config, command, commit and machine.

    Returns:
        `{name: summary}`, as in `results.json`.
    """
    clips = data.read_manifest(manifest)
    prepare.check(clips)
    if unknown := sorted({*folds} - {*clips.columns["fold"]}):
        raise ValueError(
            f"Expected folds of {sorted({*clips.columns['fold']})}; received {unknown}."
        )
    for seed in seeds:
        for fold in folds:
            fold_run = FoldRun(clips, fold, seed, plan, out, made_by)
            for name in names:
                accuracy = fold_run.score(name)
                print(f"fold {fold}, seed {seed}, {name}: {accuracy:.1f} %", flush=True)
    wanted = ("floor", *INITIAL)
    summaries = results.report(out, plan.labels_folder, wanted)
    for name, row in summaries.items():
        print(f"{name}: {results.spread(row)} % over folds {' '.join(row['folds'])}")
    return summaries


def machine():
    """Architecture and cores of the processor, and the backend."""
    return f"{platform.machine()}, {os.cpu_count()} cores, {keras.backend.backend()}"


def commit():
    """The commit of the code, marked where files were changed since."""
    git = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    here = Path(__file__).parent
    done = subprocess.run(git, cwd=here, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def plan_from(options):
    """The `Plan` that the command line and `config.py` describe."""
    minutes, steps = options.minutes, options.steps
    if options.tiny:
        return Plan(
            lambda clips: config.TINY_MODEL,
            config.TINY_PRETRAINING,
            config.PEAK_LEARNING_RATE,
            minutes=minutes,
            steps=steps or (None if minutes else config.TINY_STEPS),
            fine_tuning=config.TINY_FINE_TUNING,
            labels=options.labels,
        )
    return Plan(
        config.MODEL_FOR,
        config.PRETRAINING_OPTIONS,
        config.PEAK_LEARNING_RATE,
        minutes=minutes or (None if steps else config.PRETRAINING_MINUTES),
        steps=steps,
        fine_tuning=config.FINE_TUNING,
        labels=options.labels,
    )


def parser():
    top = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = top.add_argument
    add("--data", required=True, help="manifest that recipes.esc10.prepare wrote")
    add("--out", required=True, help="folder of the runs; an earlier one goes on")
    add("--folds", nargs="+", default=config.FOLDS, help="folds to hold out")
    add("--seeds", nargs="+", type=cli.whole_number(0), default=config.SEEDS)
    length = top.add_mutually_exclusive_group()
    of = "of pretraining, for each fold"
    length.add_argument("--minutes", type=cli.minutes, help=of)
    length.add_argument("--steps", type=cli.whole_number(1), help=of)
    add(
        "--labels",
        type=cli.labels_per_class,
        default=config.LABELS_PER_CLASS,
        help="labelled clips a class for fine-tuning, or 'all'",
    )
    add("--initial", choices=[*INITIAL, "both"], default="both")
    add("--tiny", action="store_true", help="a moment of everything, as the tests do")
    return top


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parser().parse_args(arguments)
    initial = INITIAL if options.initial == "both" else (options.initial,)
    made_by = {
        "config": "recipes/esc10/config.py" + (", tiny" if options.tiny else ""),
        "command": f"python -m recipes.esc10.train {shlex.join(arguments)}",
        "commit": commit(),
        "machine": machine(),
    }
    return cli.exit_status(
        "train",
        run,
        options.data,
        options.out,
        plan_from(options),
        options.folds,
        options.seeds,
        ("floor", *initial),
        made_by,
    )


if __name__ == "__main__":
    sys.exit(main())
