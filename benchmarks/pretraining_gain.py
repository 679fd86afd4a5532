"""What pretraining gains: the quickstart's comparison over folds, seeds and labels.

    python -m benchmarks.pretraining_gain --data esc10/manifest.csv --folds 1 2 \
        --minutes 15 --out runs/gain-esc10

Pretrains once for every fold and seed, fine-tunes with every number of labels, from
random and from the pretrained weights under one budget, and prints mean and deviation
over the seeds of the accuracy on held-out clips (over the folds, first), beside the
floor. Every fold and seed leaves a file in the folder; a run that was stopped goes on
after the last of them. Here `--minutes` is the time of a pretraining alone.
"""

import argparse
import ast
import dataclasses
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.machine import description
from keras_asit.cli import exit_status, labels_per_class, minutes, whole_number

NAMES = ("floor", "scratch", "pretrained", "gain")


def main(arguments=None):
    """Makes the runs that are missing, prints the table, returns 0."""
    options = parser().parse_args(arguments)
    os.environ["KERAS_BACKEND"] = options.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return exit_status("pretraining_gain", run, options)


def run(options):
    """Makes the runs that are missing and prints the table."""
    made_on = description()  # before the hours in which the code may change
    wanted = asked(options)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    results = []
    for seed in options.seeds:
        for fold in options.folds:
            file = out / f"fold{fold}-seed{seed}.json"
            if not file.exists():
                new = file.with_suffix(".part")
                result = {"asked": wanted, **one_run(options, fold, seed)}
                result["machine"] = made_on
                new.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
                new.rename(file)
            result = json.loads(file.read_text(encoding="utf-8"))
            if result["asked"] != wanted:
                raise ValueError(
                    f"{file} is of another run: {result['asked']}; expected {wanted}. "
                    f"Name another folder with --out."
                )
            results.append(result)
    print(table(results), flush=True)


def asked(options):
    """What a file of results depends on, as JSON gives it back.

    Raises:
        ValueError: If `--set` names what is no setting of the pretraining.
    """
    from keras_asit import training
    from keras_asit.models.profiles import PRETRAINER
    from keras_asit.quickstart import job
    from keras_asit.training.settings import settings_of

    changes = dict(options.set)
    settings = settings_of(training.pretrain, PRETRAINER["paper"]).keys()
    if unknown := sorted(changes.keys() - settings):
        raise ValueError(f"--set: no setting {unknown}; expected of {sorted(settings)}")
    elsewhere = ("folds", "seeds", "out", "set")
    chosen = {
        "pretraining": job.pretraining_settings(**changes),
        "model": dataclasses.asdict(training.SmallModel()),
        **{k: v for k, v in vars(options).items() if k not in elsewhere},
    }
    return json.loads(json.dumps(chosen))


def parser():
    """The argument parser."""
    top = argparse.ArgumentParser(
        prog="python -m benchmarks.pretraining_gain",
        description=__doc__.partition("\n")[0],
    )
    add = top.add_argument
    add("--backend", choices=("tensorflow", "jax"), default="tensorflow")
    add("--data", help="manifest (default: the quickstart's sound events)")
    add("--unlabelled", nargs="+", default=[], help="more clips for pretraining")
    add("--folds", nargs="+", default=["1"], help="folds to hold out, one by one")
    add("--seeds", nargs="+", type=whole_number(0), default=[0, 1, 2])
    add(
        "--labels",
        nargs="+",
        type=labels_per_class,
        default=[10, 0],
        help="labelled clips a class, or 'all' (default: 10 all)",
    )
    add("--minutes", type=minutes, default=5.0, help="minutes of each pretraining")
    add("--steps", type=whole_number(1), default=0, help="steps of it, not minutes")
    add("--fine-tuning-steps", type=whole_number(1), default=200)
    add("--out", default="runs/gain", help="folder of the results")
    add(
        "--set",
        nargs="+",
        type=_change,
        default=[],
        metavar="NAME=VALUE",
        help="settings of the pretraining other than the quickstart's",
    )
    return top


def _change(text):
    """`name=value` as a pair; the value is a Python literal."""
    name, equals, value = text.partition("=")
    try:
        value = ast.literal_eval(value if equals else "")
        json.dumps(value)
        return name, value
    except (SyntaxError, ValueError, TypeError):
        raise argparse.ArgumentTypeError(
            f"expected NAME=VALUE, the value a number, text in quotes or tuple, as in "
            f"momentum=0.99; received {text!r}"
        ) from None


def one_run(options, fold, seed):
    """Pretrains once; scores of every number of labels, and how they were made."""
    from keras_asit.quickstart import job as quickstart
    from keras_asit.quickstart.clips import few_labels, load_task

    started = time.monotonic()
    settings = quickstart.Settings(
        data=options.data,
        out=str(Path(options.out) / "quickstart"),
        fold=fold,
        unlabelled=tuple(options.unlabelled),
        seed=seed,
        pretraining_steps=options.steps,
        fine_tuning_steps=options.fine_tuning_steps,
    )
    task = load_task(settings)
    model, frontend = quickstart.model_and_frontend(task, settings)
    pretrainer, history = quickstart.pretrain_small(
        model, frontend, task, settings, options.minutes, **dict(options.set)
    )
    seconds = time.monotonic() - started
    tuning = quickstart.fine_tuning(model, frontend, task, settings)
    accuracy = {}
    for number in options.labels:
        labelled = few_labels(task.train, number, seed)
        starts = {"scratch": None, "pretrained": pretrainer.teacher}
        scores = {
            name: quickstart.fine_tune(tuning, labelled, task, settings, start)[0]
            for name, start in starts.items()
        }
        scores["floor"] = 100 * quickstart.floor_accuracy(labelled, task.test, frontend)
        scores["gain"] = scores["pretrained"] - scores["scratch"]
        name = str(number or "all")
        accuracy[name] = scores
        print(f"fold {fold}, seed {seed}, {name} labels: {scores}", flush=True)
    return {
        "fold": fold,
        "seed": seed,
        "accuracy": accuracy,
        "pretraining_steps": int(pretrainer.steps_done),
        "pretraining_seconds": round(seconds, 1),
        "seconds": round(time.monotonic() - started, 1),
        "losses": {name: float(values[-1]) for name, values in history.items()},
    }


def table(results):
    """Mean and deviation over the seeds, a line for every number of labels.

    The folds of a seed are averaged first: folds differ by their clips, which says
    nothing of the method.
    """
    steps = [result["pretraining_steps"] for result in results]
    total = sum(result["seconds"] for result in results) / 60
    seeds = sorted({result["seed"] for result in results})
    lines = [
        f"{len(results)} runs, {len(seeds)} seeds, {total:.0f} min, "
        f"{min(steps)} to {max(steps)} steps",
        "labels  " + "".join(f"{name:>14}" for name in NAMES),
    ]
    for number in results[0]["accuracy"]:
        by_seed = [
            np.mean([_scores(r, number) for r in results if r["seed"] == seed], axis=0)
            for seed in seeds
        ]
        means = [f"{mean:.1f}" for mean in np.mean(by_seed, axis=0)]
        if len(seeds) > 1:
            spread = np.std(by_seed, axis=0, ddof=1)
            means = [f"{m} ± {s:.1f}" for m, s in zip(means, spread, strict=True)]
        lines.append(f"{number:8}" + "".join(f"{cell:>14}" for cell in means))
    return "\n".join(lines)


def _scores(result, number):
    return [result["accuracy"][number][name] for name in NAMES]


if __name__ == "__main__":
    sys.exit(main())
