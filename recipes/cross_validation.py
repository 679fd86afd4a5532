"""Groups of clips held out one after the other: folds, speakers, or a test split.

What is compared on each, with the same clips and the same protocol:

- `floor_regression`, `floor_forest`: log-mel statistics with logistic regression and
  with a random forest, which nothing was pretrained for;
- `scratch`: the backbone fine-tuned from random weights;
- `own`: pretrained without labels on the set's own training clips;
- `all`: pretrained without labels on other sets and then on these;
- `preset`: a backbone that was pretrained elsewhere.

Each of the last four by a vote of nearest neighbours (`_knn`), a linear probe
(`_probe`) and fine-tuned: those of `scratch` tell what random weights give, which is
not little. No clip that is held out is seen before it is scored.
"""

import dataclasses
import functools
import shutil
from pathlib import Path

import keras
import numpy as np

from keras_asit import data, embed, evaluation, presets, training
from keras_asit.models.backbone_of import backbone_of
from keras_asit.quickstart.clips import few_labels
from keras_asit.training.settings import settings_of
from recipes import floors, results, stages
from recipes.apart import check_apart, digest
from recipes.starts import Starts, numbers, random_backbone

STARTS = ("floor", "scratch", "own", "all", "preset")
PROBE_REGULARISATION = 10.0
NEIGHBOURS = 10


@dataclasses.dataclass(frozen=True)
class Study:
    """What is done to each group.

    Attributes:
        column: Column of the manifest whose values are held out one by one.
        model: A `training.SmallModel` or a `models.NamedModel`.
        pretraining: Options of `training.pretrain`.
        learning_rate: Peak of the pretraining's learning rate.
        steps: Steps of pretraining on the set's own clips.
        steps_all: Steps of pretraining on other sets, which come before these.
        protocol: A `training.Protocol`.
        pooling: What of the tokens neighbours and probe see, as of `embed`.
        last_layers: Of how many blocks, as of `embed`.
        labels: Labelled clips a class; 0 for all.
        train_values: Values of the column to train with, `("train",)` for a column
            split; all but the one held out by default.
        vision: A vision transformer that new backbones begin with, as of
            `presets.from_vision_transformer`; None for random weights.
        sizes: Of the network in the place of the model's, as of `starts.sizes_of`.
    """

    column: str
    model: object
    pretraining: dict
    learning_rate: float
    steps: int
    steps_all: int
    protocol: training.Protocol
    pooling: str = "cls"
    last_layers: int = 1
    labels: int = 0
    train_values: tuple = ()
    vision: str | None = None
    sizes: dict | None = None

    def settings(self, manifest):
        """What all results of a folder depend on, for JSON."""
        return {
            "clips": digest(manifest),
            "column": self.column,
            "train_values": self.train_values,
            "model": dataclasses.asdict(self.model),
            "vision": self.vision and str(self.vision),
            "sizes": self.sizes,
            "protocol": self.protocol.as_dict(),
            "labels": self.labels,
            "backend": keras.backend.backend(),
        }

    def settings_of(self, start, others=(), preset=None, unlabelled=None):
        """What the results of one start depend on besides, for JSON."""
        probe = {
            "pooling": self.pooling,
            "last_layers": self.last_layers,
            "regularisation": PROBE_REGULARISATION,
            "neighbours": NEIGHBOURS,
        }
        if start == "preset":
            trained_on = presets.describe(preset)["trained_on"]
            return {**probe, "preset": str(preset), "trained_on": trained_on}
        if start == "floor":
            return {}
        if start == "scratch":
            return probe
        options = settings_of(training.pretrain, self.pretraining)
        options |= {"learning_rate": self.learning_rate, "steps": self.steps}
        if unlabelled is not None:
            options["clips"] = digest(unlabelled)
        if start == "all":
            options["steps_all"] = self.steps_all
            options["others"] = [digest(manifest) for manifest in others]
        return {**probe, "pretraining": options}

    def measures(self, start):
        """Names of what is measured of a start."""
        if start == "floor":
            return ("floor_regression", "floor_forest")
        if self.protocol.metric != "accuracy":
            return (start,)
        return (f"{start}_knn", f"{start}_probe", start)


def run(
    manifest, study, out, *, groups, seeds, starts, others=(), preset=None,
    unlabelled=None, made_by,
):  # fmt: skip
    """Runs groups and seeds, and sums up all that the folder holds.

    Args:
        manifest: `Manifest` of all clips.
        study: A `Study`.
        out: Folder of the runs; an earlier one goes on.
        groups: Values of the column to hold out; None for each of them.
        seeds: Integers.
        starts: Of `STARTS`.
        others: `Manifest`s of other sets, for `all`.
        preset: Handle of a backbone, for `preset`.
        unlabelled: `Manifest` that `own` pretrains on in the place of the training
            clips, AudioSet-2M for example.
        made_by: Of `stages.made_by`.

    Returns:
        `{measure: summary}`, as in `results.json`.

    Raises:
        ValueError: If a group is unknown, a start lacks what it needs, other sets hold
            clips of this one, or the protocol does not fit the clips or the network.
    """
    groups = checked(manifest, study, groups, starts, others, preset)
    for other in others:
        check_apart(manifest, other, "the other sets")
    kept = stages.Stages(out, study.settings(manifest), made_by)
    for start in starts:
        kept.require(start, study.settings_of(start, others, preset, unlabelled))
    for seed in seeds:
        for group in groups:
            held_out = HeldOut(
                manifest, study, group, seed, kept, others, preset, unlabelled
            )
            for name in (name for start in starts for name in study.measures(start)):
                score = held_out.score(name)
                line = f"{study.column} {group}, seed {seed}, {name}: {score:.1f} %"
                print(line, flush=True)
    return results.report(out, manifest.class_names)


def checked(manifest, study, groups, starts, others=(), preset=None):
    """The groups to hold out, of a study that can be run to its end.

    Args:
        manifest, study, groups, starts, others, preset: As of `run`.

    Raises:
        ValueError: What a fine-tuning would raise too, after the pretraining.
    """
    groups = _checked_groups(manifest, study, groups)
    _check_starts(starts, study, others, preset)
    tuned = {"preset" if s == "preset" else "new" for s in starts if s != "floor"}
    for start in sorted(tuned):
        if start == "preset":
            backbone = backbone_of(presets.load(preset, load_weights=False))
        else:
            backbone = random_backbone(study, study.model.frontend())
        training.adapted(backbone, study.protocol)
    for group in groups if tuned else ():
        held_out = HeldOut(manifest, study, group, seed=0, kept=None)
        study.protocol.optimizer(len(held_out.labelled))
    return groups


def _checked_groups(manifest, study, groups):
    if study.column not in manifest.columns:
        raise ValueError(
            f"Expected a column {study.column} to hold out by; the manifest has "
            f"{sorted(manifest.columns)}."
        )
    known = sorted({*manifest.columns[study.column]} - {""})
    groups = known if groups is None else list(groups)
    if unknown := sorted({*groups} - {*known}):
        raise ValueError(f"Expected {study.column}s of {known}; received {unknown}.")
    return groups


def _check_starts(starts, study, others, preset):
    if "floor" in starts and study.protocol.metric != "accuracy":
        raise ValueError(
            "The start 'floor' is for one class a clip; the protocol scores "
            f"{study.protocol.metric}. Leave it out of --starts."
        )
    if "all" in starts and not others:
        raise ValueError(
            "The start 'all' pretrains on other sets too; received none. Give "
            "--others MANIFEST ..., or leave it out of --starts."
        )
    if "preset" in starts and preset is None:
        raise ValueError("The start 'preset' needs a backbone. Give --backbone PRESET.")


class HeldOut:
    """One group held out, with one seed; no clip is read before it is needed.

    Args:
        manifest: All clips.
        study: A `Study`.
        group: What is held out.
        seed: Fixes weights, crops, corruption and the choice of labelled clips.
        kept: The `Stages`.
        others, preset, unlabelled: As of `run`.
    """

    def __init__(
        self, manifest, study, group, seed, kept, others=(), preset=None,
        unlabelled=None,
    ):  # fmt: skip
        self.study, self.seed, self.kept = study, seed, kept
        self.train = manifest.where(**{study.column: self._is_to_train_with(group)})
        self.test = manifest.where(**{study.column: group})
        self.name = f"{study.column}-{group}/seed-{seed}"
        self.starts = Starts(
            study, self.train, self.test, seed, kept, self.name, others, preset,
            unlabelled,
        )  # fmt: skip

    def _is_to_train_with(self, group):
        chosen = self.study.train_values
        if chosen:
            return lambda value: value in chosen and value != group
        return lambda value: value not in ("", group)

    def score(self, measure):
        """What was measured on the held-out clips, in percent.

        The protocol's metric of a fine-tuned backbone, accuracy of the others.
        """
        name = f"{self.name}/{measure}"
        folder = self.kept.out / name
        if self.kept.is_done(name):
            record = stages.read_json(self.kept.file(name))
        else:
            record = self.kept.done(name, self._run_of(measure, folder))
        shutil.rmtree(folder, ignore_errors=True)  # of interrupted runs
        return record["score"]

    def _run_of(self, measure, folder):
        """The stage that measures it; the pretraining before it is one of its own."""
        start, _, kind = measure.partition("_")
        if start == "floor":
            return functools.partial(self._floor, kind)
        backbone = self.starts.backbone(start)
        if kind:
            return functools.partial(self._without_training, backbone, kind)
        return functools.partial(self._fine_tune, backbone, folder)

    @functools.cached_property
    def labelled(self):
        return few_labels(self.train, self.study.labels, self.seed)

    def _without_training(self, backbone, kind):
        (train_x, train_y), (test_x, test_y) = (
            embedded(backbone, clips, self.study.pooling, self.study.last_layers)
            for clips in (self.labelled, self.test)
        )
        measure = {
            "knn": functools.partial(
                evaluation.knn_accuracy, k=min(NEIGHBOURS, len(train_y))
            ),
            "probe": functools.partial(
                evaluation.linear_probe, regularisation=PROBE_REGULARISATION
            ),
        }[kind]
        return {"score": 100 * measure(train_x, train_y, test_x, test_y)}

    def _fine_tune(self, backbone, folder):
        result = training.fine_tune(
            backbone,
            self.labelled,
            self.test,
            self.study.protocol,
            class_names=self.train.class_names,
            seed=self.seed,
            folder=folder,
            label=str(Path(self.name) / folder.name),
        )
        np.savez(Path(f"{folder}.npz"), scores=result.scores, targets=result.targets)
        return {
            "score": 100 * result.score,
            "epoch": result.epoch,
            "scored_clips": len(result.indices),
            "history": numbers(result.history),
        }

    def _floor(self, kind):
        accuracy = floors.accuracy(kind, self.labelled, self.test, self.starts.frontend)
        return {"score": 100 * accuracy}


def embedded(backbone, clips, pooling, last_layers=1):
    """Embeddings `(N, D)` and classes `(N,)` of the clips that can be read."""
    rate = backbone.frontend.sample_rate
    reader = data.ClipReader(clips, rate, cache=True)
    indices = reader.readable()
    waves = [reader.read(index) for index in indices]
    last_layers = min(last_layers, backbone.num_layers)  # a preset may have fewer
    options = {"pooling": pooling, "last_layers": last_layers}
    return embed(backbone, waves, rate, **options), clips.targets()[indices]
