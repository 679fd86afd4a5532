"""Fine-tuning on the official split of a data set, with several seeds.

One folder holds one choice of backbone, protocol, normalisation and labels, and all
its seeds. No clip of the test part is seen before it is scored, but by the rule of
selection `ast_published`, which its name tells.
"""

import dataclasses
import functools
import hashlib
import shutil
from pathlib import Path

import keras
import numpy as np

from keras_asit import data, evaluation, presets, training
from keras_asit.models import SuperbClassifier
from keras_asit.models.backbone_of import backbone_of
from keras_asit.presets.directory import WEIGHTS
from recipes import official_split_report, stages
from recipes.apart import digest

NORMALISATIONS = ("protocol", "backbone", "measured")
SELECTIONS = {
    "last": "last epoch",
    "validation": "best epoch on the validation clips",
    "ast_published": "best epoch on the TEST clips, as AST published",
}


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
        classifier: Function that makes the classifier, as of `training.fine_tune`;
            None for its own.
        cache: Whether waveforms stay in memory.
    """

    task: str
    protocol: training.Protocol
    backbone: str | None = None
    scratch: object = None
    sample_rate: int | None = None
    normalisation: str = "protocol"
    labels: str | None = None
    classifier: object = None
    cache: bool = True

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
            *self.label_variant,
        ]
        return "; ".join(said)

    @property
    def label_variant(self):
        """A list of what results say of the labels; empty where there is one kind."""
        return [f"labels: {self.labels}"] if self.labels else []

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
        there = {name: p for name, p in vars(parts).items() if p is not None}
        return {
            "task": self.task,
            "clips": {name: digest(clips) for name, clips in there.items()},
            "protocol": self.protocol.as_dict(),
            "pretraining": self.pretraining,
            "weights": self.backbone and weights_digest(self.backbone),
            "scratch": None if self.backbone else self._random_weights(),
            "normalisation": self.normalisation,
            "labels": self.labels,
            "backend": keras.backend.backend(),
        }


def weights_digest(handle):
    """What tells whether a local preset holds the same weights; None of a hub's."""
    file = Path(handle) / WEIGHTS
    if not file.is_file():
        return None
    with file.open("rb") as weights:
        return hashlib.file_digest(weights, "sha256").hexdigest()[:12]


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
    return official_split_report.report(kept.out, study, class_names)


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
        cache=study.cache,
        label=f"{study.task}, {protocol.name}, seed {seed}",
        classifier=study.classifier,
    )
    np.savez(folder / "scores.npz", scores=result.scores, targets=result.targets)
    rows = evaluation.per_class_table(result.targets, result.scores, class_names)
    evaluation.write_csv(rows, folder / "classes.csv")
    _save(result.classifier, folder, study)
    return {
        "score": 100 * result.score,
        "epoch": result.epoch,
        **_scores_of_epochs(folder / "run" / "epochs.json"),
        **_layer_shares(result.classifier),
        "scored_clips": len(result.indices),
        "test_clips": len(parts.test),
        "history": {
            name: [round(float(v), 5) for v in row]
            for name, row in result.history.items()
        },
    }


def _save(classifier, folder, study):
    """As a preset; a classifier of another class than presets hold as a Keras file."""
    if study.classifier is not None:
        classifier.save(folder / "classifier.keras")
        return
    said = [study.pretraining, f"fine-tuned on {study.task}", *study.label_variant]
    presets.save(classifier, folder / "classifier", trained_on="; ".join(said))


def _scores_of_epochs(file):
    """What the epoch was chosen by, where one was."""
    if not file.is_file():
        return {}
    scores = stages.read_json(file)
    return {"scores_of_epochs": {e: round(100 * s, 3) for e, s in scores.items()}}


def _layer_shares(classifier):
    """What SUPERB's head takes from each layer of the frozen backbone."""
    if not isinstance(classifier, SuperbClassifier):
        return {}
    return {"layer_shares": [round(float(s), 4) for s in classifier.layer_shares]}


def start(study, seed):
    """The backbone to start from: a preset's, or one of random weights."""
    if study.backbone is not None:
        return backbone_of(presets.load(study.backbone, load_weights=True))
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
