"""Speaker identification on VoxCeleb1, by one of two protocols.

    python -m recipes.voxceleb_sid.train --data CSV --out DIR --backbone PRESET
        --protocol superb_frozen

A run that was cut off goes on where it was: give it the same command. Each protocol has
its own folder in DIR and its own results beside it, `results_superb_frozen.md` and
`results_full.md`: what they measure is not the same.
"""

import functools
import shutil
import sys
from pathlib import Path

import numpy as np

from keras_asit import cli, training
from keras_asit.models.superb import SuperbClassifier
from recipes import official_split, official_split_command, results, stages
from recipes.voxceleb_sid import config


def superb_classifier(backbone, class_names):
    """SUPERB's head on a frozen backbone, for `training.fine_tune`."""
    return SuperbClassifier(backbone, len(class_names), class_names=class_names)


CLASSIFIERS = {"superb_frozen": superb_classifier, "full": None}


def run(parts, study, out, *, seeds, class_names, made_by):
    """Runs the seeds of one protocol, and sums up all that its folder holds.

    Args:
        parts: `official_split.Parts`.
        study: An `official_split.Study`, its protocol one of `config.PROTOCOLS`.
        out: Folder of the runs of all protocols; an earlier one goes on.
        seeds: Integers.
        class_names: Order of the speakers.
        made_by: Of `stages.made_by`.

    Returns:
        The summary, as in `results_<protocol>.json`.
    """
    name = study.protocol.name
    kept = stages.Stages(Path(out) / name, study.settings(parts), made_by)
    print(study.caption, flush=True)
    for seed in seeds:
        one = functools.partial(_fine_tune, parts, study, kept.out, seed, class_names)
        score = kept.done(f"seed-{seed}/result", one)["score"]
        # What was kept for an interrupted run; only now is it not needed.
        shutil.rmtree(kept.out / f"seed-{seed}" / "run", ignore_errors=True)
        print(f"{name}, seed {seed}: accuracy {score:.2f} %", flush=True)
    return report(out, study)


def _fine_tune(parts, study, out, seed, class_names):
    folder = out / f"seed-{seed}"
    backbone = official_split.start(study, seed)
    result = training.fine_tune(
        backbone,
        parts.train,
        parts.test,
        official_split.normalised(study, backbone, parts.train, seed),
        validation=parts.valid,
        class_names=class_names,
        seed=seed,
        folder=folder / "run",
        cache=False,  # 1,200 hours
        label=f"{study.protocol.name}, seed {seed}",
        classifier=CLASSIFIERS[study.protocol.name],
    )
    epochs = stages.read_json(folder / "run" / "epochs.json")
    np.savez(folder / "scores.npz", scores=result.scores, targets=result.targets)
    result.classifier.save(folder / "classifier.keras")
    shares = getattr(result.classifier, "layer_shares", None)
    return {
        "protocol": study.protocol.name,
        "score": 100 * result.score,
        "epoch": result.epoch,
        "validation_accuracy": {e: round(100 * s, 3) for e, s in epochs.items()},
        "layer_shares": None
        if shares is None
        else [round(float(s), 4) for s in shares],
        "scored_clips": len(result.indices),
        "test_clips": len(parts.test),
        "history": {
            name: [round(float(v), 5) for v in row]
            for name, row in result.history.items()
        },
    }


def report(out, study):
    """Sums up one protocol's seeds: `results_<protocol>.json` and `.md`."""
    out, name = Path(out), study.protocol.name
    records = {
        file.parent.name.removeprefix("seed-"): stages.read_json(file)
        for file in sorted((out / name).glob("seed-*/result.json"))
    }
    summary = results.summary({seed: {"test": r} for seed, r in records.items()})
    row = {
        "result": study.caption,
        "protocol": name,
        "mean": summary["mean"],
        "deviation": summary["deviation"],
        "by_seed": {seed: r["score"] for seed, r in records.items()},
        "layer_shares": {seed: r["layer_shares"] for seed, r in records.items()},
        "scored_clips": {seed: r["scored_clips"] for seed, r in records.items()},
        "made_by": stages.provenance(list(records.values())),
    }
    stages.write(out / f"results_{name}.json", stages.as_json(row))
    title = f"Protocol `{name}`; not to be put beside another's.\n\n"
    stages.write(out / f"results_{name}.md", title + official_split.markdown(row))
    print(f"{name}: accuracy {results.spread(row)} %, seeds {' '.join(records)}")
    return row


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = official_split_command.parser(config).parse_args(arguments)

    def job():
        study = official_split_command.study_from(options, config)
        parts, class_names = official_split_command.parts_from(
            options, config, study.protocol
        )
        run(
            parts,
            study,
            options.out,
            seeds=options.seeds,
            class_names=class_names,
            made_by=stages.made_by("recipes.voxceleb_sid.train", arguments),
        )

    return cli.exit_status("train", job)


if __name__ == "__main__":
    sys.exit(main())
