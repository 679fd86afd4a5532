"""Fine-tuning on the official split of a data set, with several seeds.

One folder holds one choice of backbone, protocol, normalisation and labels, and all
its seeds. No clip of the test part is seen before it is scored, but by the rule of
selection `ast_published`, which its name tells.
"""

import dataclasses
import functools
import shutil
from pathlib import Path

import keras
import numpy as np

from keras_asit import data, evaluation, pictures, presets, training
from recipes import results, stages

NORMALISATIONS = ("protocol", "backbone", "measured")
SELECTIONS = {
    "last": "last epoch",
    "validation": "best epoch on the validation clips",
    "ast_published": "best epoch on the TEST clips, as AST published",
}
COLUMNS = ("result", "score (%)", "seeds", "command", "commit", "machine", "duration")


@dataclasses.dataclass(frozen=True)
class Parts:
    """The clips of an official split.

    Attributes:
        train, test: `Manifest`s.
        valid: `Manifest`, or None where the protocol does not look at it.
    """

    train: data.Manifest
    test: data.Manifest
    valid: data.Manifest | None = None


@dataclasses.dataclass(frozen=True)
class Study:
    """What is fine-tuned, and how.

    Attributes:
        task: Name of the data set and its split, as results are called.
        protocol: A `training.Protocol`.
        backbone: Handle of a preset, or None for random weights.
        scratch: The network of random weights where there is no backbone, a
            `models.NamedModel` or a `training.SmallModel`.
        sample_rate: Rate in Hz of its filterbank; None for the network's own.
        normalisation: One of `NORMALISATIONS`: the constants of the protocol, where it
            has them; those that the backbone came with; or those of the training
            clips, which random weights have for their own.
        labels: Variant of the labels, where the data set has several.
    """

    task: str
    protocol: training.Protocol
    backbone: str | None = None
    scratch: object = None
    sample_rate: int | None = None
    normalisation: str = "protocol"
    labels: str | None = None

    @property
    def measure(self):
        return self.protocol.metric.replace("mean_average_precision", "mAP")

    @property
    def pretraining(self):
        """What the weights to start from were trained on, in words."""
        if self.backbone is not None:
            trained_on = presets.describe(self.backbone)["trained_on"]
            return (
                f"{self.backbone} ({trained_on or 'its preset does not say on what'})"
            )
        return f"none: {getattr(self.scratch, 'name', 'tiny model')}, random weights"

    @property
    def caption(self):
        """What every result of the study says of itself."""
        protocol = self.protocol
        selection = SELECTIONS[protocol.selection]
        if protocol.average_epochs:
            first, last = protocol.average_epochs
            selection = f"weights averaged over the epochs {first} to {last}"
        said = [
            f"{self.task}, {self.measure}",
            f"protocol {protocol.name}",
            f"selection: {selection}",
            f"pretraining: {self.pretraining}",
            f"normalisation: {self._constants()}",
            *([f"labels: {self.labels}"] if self.labels else []),
        ]
        return "; ".join(said)

    def _constants(self):
        if self.normalisation == "protocol" and self.protocol.mean is not None:
            return f"the protocol's, {self.protocol.mean}, {self.protocol.std}"
        if self.normalisation == "measured" or self.backbone is None:
            return "measured on the training clips"
        return "the backbone's"

    def _random_weights(self):
        return {**dataclasses.asdict(self.scratch), "rate": self.sample_rate}

    def settings(self, parts):
        """All that results depend on, for JSON."""
        clips = {name: len(p) for name, p in vars(parts).items() if p is not None}
        return {
            "task": self.task,
            "clips": clips,
            "protocol": self.protocol.as_dict(),
            "pretraining": self.pretraining,
            "scratch": None if self.backbone else self._random_weights(),
            "normalisation": self.normalisation,
            "labels": self.labels,
            "backend": keras.backend.backend(),
        }


def parts_of(manifest, splits, column="split", **given):
    """The clips of a split, each part by its values of a column.

    Args:
        manifest: A `Manifest`.
        splits: `{"train": values, "test": values}`, and `"valid"` where it is needed.
        column: Name of the column.
        **given: `Manifest`s of parts that come from elsewhere.

    Raises:
        ValueError: If there is no such column, or a part has no clips.
    """
    if column not in manifest.columns:
        raise ValueError(
            f"Expected a manifest with the column {column!r}; received one of "
            f"{sorted(manifest.columns)}. Write it with the recipe's prepare."
        )
    there = sorted({*manifest.columns[column]} - {""})
    for part, values in splits.items():
        if missing := sorted({*values} - {*there}):
            raise ValueError(
                f"Expected clips of the split {' and '.join(missing)} ({part}); the "
                f"manifest has {there}. Write it with the recipe's prepare, of a whole "
                "data set."
            )
    chosen = {name: manifest.where(**{column: v}) for name, v in splits.items()}
    return Parts(**chosen, **given)


def run(parts, study, out, *, seeds, class_names, made_by):
    """Runs the seeds, and sums up all that the folder holds.

    Args:
        parts: The `Parts`.
        study: A `Study`.
        out: Folder of the runs; an earlier one goes on.
        seeds: Integers.
        class_names: Order of the classes.
        made_by: Of `stages.made_by`.

    Returns:
        The summary, as in `results.json`.
    """
    kept = stages.Stages(out, study.settings(parts), made_by)
    print(study.caption, flush=True)
    for seed in seeds:
        one = functools.partial(_fine_tune, parts, study, kept.out, seed, class_names)
        record = kept.done(f"seed-{seed}/result", one)
        # What was kept for an interrupted run; it may take gigabytes.
        shutil.rmtree(kept.out / f"seed-{seed}" / "run", ignore_errors=True)
        print(f"seed {seed}: {study.measure} {record['score']:.2f} %", flush=True)
    return report(kept.out, study, class_names)


def _fine_tune(parts, study, out, seed, class_names):
    folder = out / f"seed-{seed}"
    backbone = start(study, seed)
    protocol = normalised(study, backbone, parts.train, seed)
    result = training.fine_tune(
        backbone,
        parts.train,
        parts.test,
        protocol,
        validation=parts.valid,
        class_names=class_names,
        seed=seed,
        folder=folder / "run",
        label=f"{study.task}, seed {seed}",
    )
    np.savez(folder / "scores.npz", scores=result.scores, targets=result.targets)
    rows = evaluation.per_class_table(result.targets, result.scores, class_names)
    evaluation.write_csv(rows, folder / "classes.csv")
    presets.save(
        result.classifier,
        folder / "classifier",
        trained_on=f"{study.pretraining}; fine-tuned on {study.task}",
    )
    return {
        "score": 100 * result.score,
        "epoch": result.epoch,
        "scored_clips": len(result.indices),
        "test_clips": len(parts.test),
        "history": {
            name: [round(float(v), 5) for v in row]
            for name, row in result.history.items()
        },
    }


def start(study, seed):
    """The backbone to start from: a preset's, or one of random weights."""
    if study.backbone is not None:
        model = presets.load(study.backbone, load_weights=True)
        return getattr(model, "backbone", model)
    frontend = study.scratch.frontend()
    if study.sample_rate is not None:
        config = {**frontend.get_config(), "sample_rate": study.sample_rate}
        frontend = type(frontend).from_config(config)
    with training.seeded(seed):
        return study.scratch.backbone(frontend)


def normalised(study, backbone, train, seed):
    """The study's protocol with the constants that `study.normalisation` asks for."""
    protocol, choice = study.protocol, study.normalisation
    if choice == "protocol" and protocol.mean is not None:
        return protocol
    if choice == "measured" or study.backbone is None:
        mean, std = training.normalisation(train, backbone.frontend, seed=seed)
        return protocol.replace(mean=mean, std=std)
    return protocol.replace(mean=None, std=None)


def report(out, study, class_names):
    """Sums up what a folder holds: `results.json`, `results.md`, and a picture."""
    files = sorted(Path(out).glob("seed-*/result.json"))
    records = {f.parent.name.removeprefix("seed-"): stages.read_json(f) for f in files}
    summary = results.summary(
        {seed: {"test": record} for seed, record in records.items()}
    )
    made = stages.provenance(list(records.values()))
    row = {
        "result": study.caption,
        "measure": study.measure,
        "mean": summary["mean"],
        "deviation": summary["deviation"],
        "by_seed": {s: r["score"] for s, r in records.items()},
        "scored_clips": {s: r["scored_clips"] for s, r in records.items()},
        "made_by": made,
    }
    stages.write(out / "results.json", stages.as_json(row))
    stages.write(out / "results.md", markdown(row))
    if study.protocol.metric == "accuracy":
        _draw_confusion(out, files, study, class_names)
    print(f"{study.measure} {results.spread(row)} %, seeds {' '.join(records)}")
    return row


def markdown(row):
    """A result as the table of a README."""
    made = row["made_by"]
    cells = [row["result"], results.spread(row), " ".join(row["by_seed"])]
    cells += ["; ".join(f"`{command}`" for command in made["command"])]
    cells += ["; ".join(made["commit"]), "; ".join(made["machine"]), made["duration"]]
    cells = [cell.replace("|", r"\|") for cell in cells]
    lines = [COLUMNS, ["---"] * len(COLUMNS), cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _draw_confusion(out, files, study, class_names):
    """The confusion matrix, of the test clips of all seeds together."""
    counts = 0
    for file in files:
        with np.load(file.parent / "scores.npz") as saved:
            counts = counts + evaluation.confusion_matrix(
                saved["targets"], saved["scores"]
            )
    title = f"{study.task}, protocol {study.protocol.name}, {len(files)} seeds"
    figure = pictures.confusion_matrix(counts, class_names, title=title)
    pictures.save(figure, out / "confusion.png")
