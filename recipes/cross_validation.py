"""Groups of clips held out one after the other: folds, or speakers.

What is compared on each, with the same clips and the same protocol:

- `floor_regression`, `floor_forest`: log-mel statistics with logistic regression and
  with a random forest, which nothing was pretrained for;
- `scratch`: the backbone fine-tuned from random weights;
- `own`: pretrained without labels on the set's own training clips;
- `all`: pretrained without labels on these and on other sets;
- `preset`: a backbone that was pretrained elsewhere.

Each of the last three by a vote of nearest neighbours (`_knn`), a linear probe
(`_probe`) and fine-tuned. No clip that is held out is seen before it is scored.
"""

import dataclasses
import functools
import shutil
from pathlib import Path

import keras
import numpy as np

from keras_asit import data, evaluation, presets, training
from keras_asit.quickstart.clips import few_labels
from keras_asit.quickstart.job import with_defaults
from recipes import floors, results, stages

STARTS = ("floor", "scratch", "own", "all", "preset")
MEASURES = {
    "floor": ("floor_regression", "floor_forest"),
    "scratch": ("scratch",),
    **{name: (f"{name}_knn", f"{name}_probe", name) for name in STARTS[2:]},
}


@dataclasses.dataclass(frozen=True)
class Study:
    """What is done to each group.

    Attributes:
        column: Column of the manifest whose values are held out one by one.
        train_values: Values of it to train with, `("train",)` for a column split; all
            but the one held out by default.
        model: A `training.SmallModel`.
        pretraining: Options of `training.pretrain`.
        learning_rate: Peak of the pretraining's learning rate.
        steps: Steps of pretraining on the set's own clips.
        steps_all: Steps of pretraining on other sets, which come before these.
        protocol: A `training.Protocol`.
        pooling: What of the tokens neighbours and probe see, as of `embed`.
        labels: Labelled clips a class; 0 for all.
        vision: A vision transformer that new backbones begin with, as of
            `presets.from_vision_transformer`; None for random weights.
    """

    column: str
    model: training.SmallModel
    pretraining: dict
    learning_rate: float
    steps: int
    steps_all: int
    protocol: training.Protocol
    pooling: str = "cls"
    labels: int = 0
    train_values: tuple = ()
    vision: str | None = None

    def settings(self):
        """All that results depend on, for JSON."""
        return {
            "column": self.column,
            "model": dataclasses.asdict(self.model),
            "pretraining": with_defaults(training.pretrain, self.pretraining)
            | {"learning_rate": self.learning_rate, "seed": None, "callbacks": None},
            "steps": self.steps,
            "steps_all": self.steps_all,
            "protocol": self.protocol.as_dict(),
            "labels": self.labels,
            "train_values": self.train_values,
            "vision": str(self.vision),
            "backend": keras.backend.backend(),
        }


def run(
    manifest, study, out, *, groups, seeds, starts, others=(), preset=None, made_by
):
    """Runs groups and seeds, and sums up all that the folder holds.

    Args:
        manifest: `Manifest` of all clips.
        study: A `Study`.
        out: Folder of the runs; an earlier one goes on.
        groups: Values of the column to hold out; None for each of them.
        seeds: Integers.
        starts: Of `STARTS`.
        others: Paths of manifests of other sets, for `all`.
        preset: Handle of a backbone, for `preset`.
        made_by: Of `stages.made_by`.

    Returns:
        `{measure: summary}`, as in `results.json`.

    Raises:
        ValueError: If a group is unknown, or a start lacks what it needs.
    """
    if study.column not in manifest.columns:
        raise ValueError(
            f"Expected a column {study.column} to hold out by; the manifest has "
            f"{sorted(manifest.columns)}."
        )
    known = sorted({*manifest.columns[study.column]} - {""})
    groups = known if groups is None else list(groups)
    if unknown := sorted({*groups} - {*known}):
        raise ValueError(f"Expected {study.column}s of {known}; received {unknown}.")
    if "all" in starts and not others:
        raise ValueError(
            "The start 'all' pretrains on other sets too; received none. Give "
            "--others MANIFEST ..., or leave it out of --starts."
        )
    if "preset" in starts and preset is None:
        raise ValueError("The start 'preset' needs a backbone. Give --backbone PRESET.")
    settings = study.settings() | {"others": len(others), "preset": str(preset)}
    if "preset" not in starts:
        del settings["preset"]
    kept = stages.Stages(out, settings, made_by)
    others = [data.read_manifest(path) for path in others]
    for seed in seeds:
        for group in groups:
            held_out = HeldOut(manifest, study, group, seed, kept, others, preset)
            for start in starts:
                for name in MEASURES[start]:
                    score = held_out.score(name)
                    line = f"{study.column} {group}, seed {seed}, {name}: {score:.1f} %"
                    print(line, flush=True)
    return results.report(out, manifest.class_names)


class HeldOut:
    """One group held out, with one seed; no clip is read before it is needed.

    Args:
        manifest: All clips.
        study: A `Study`.
        group: What is held out.
        seed: Fixes weights, crops, corruption and the choice of labelled clips.
        kept: The `Stages`.
        others: Manifests of other sets.
        preset: Handle of a backbone, or None.
    """

    def __init__(self, manifest, study, group, seed, kept, others=(), preset=None):
        self.study, self.seed, self.kept = study, seed, kept
        self.others, self.preset = others, preset
        self.train = manifest.where(**{study.column: self._is_to_train_with(group)})
        self.test = manifest.where(**{study.column: group})
        self.name = f"{study.column}-{group}/seed-{seed}"

    def _is_to_train_with(self, group):
        chosen = self.study.train_values
        if chosen:
            return lambda value: value in chosen and value != group
        return lambda value: value not in ("", group)

    def score(self, measure):
        """The protocol's metric, in percent, on the held-out clips."""
        run = functools.partial(self._measure, measure)
        return self.kept.done(f"{self.name}/{measure}", run)["score"]

    def _measure(self, measure):
        start, _, kind = measure.partition("_")
        if start == "floor":
            return self._floor(kind)
        weights = None if start == "scratch" else self._backbone(start)
        if kind:
            return self._without_training(weights, kind)
        return self._fine_tune(measure, weights)

    @functools.cached_property
    def labelled(self):
        return few_labels(self.train, self.study.labels, self.seed)

    @functools.cached_property
    def frontend(self):
        """The filterbank, normalised on the training clips."""
        model = self.study.model
        plain = model.frontend()
        return model.frontend(
            *training.normalisation(self.train, plain, seed=self.seed)
        )

    def _new_backbone(self, frontend):
        with training.seeded(self.seed):
            backbone = self.study.model.backbone(frontend)
        if self.study.vision is None:
            return backbone
        return presets.from_vision_transformer(
            self.study.vision,
            input_shape=(backbone.num_frames, backbone.num_mel_bins),
            frontend=frontend,
        )

    # Where a backbone comes from.

    def _backbone(self, start):
        if start == "preset":
            return presets.load(self.preset, load_weights=True)
        folder = self.kept.out / self.name / f"{start}_backbone"
        stage = functools.partial(self._pretrain, start, folder)
        self.kept.done(f"{self.name}/{start}_pretraining", stage)
        return presets.load(folder, load_weights=True)

    def _pretrain(self, start, folder):
        if start == "own":
            backbone = self._new_backbone(self.frontend)
        else:
            backbone = self._of_other_sets()
        clips = self.train.paths
        pretrainer, history = pretrain(
            self.study, backbone, clips, self.study.steps, self.seed, self.name
        )
        presets.save(
            pretrainer,
            folder,
            trained_on=f"{len(clips)} training clips without labels"
            + ("" if start == "own" else f", after {len(self.others)} other sets"),
        )
        return {"clips": len(clips), "steps": self.study.steps, "history": history}

    def _of_other_sets(self):
        """The backbone pretrained on the other sets, once for all groups of a seed."""
        name = f"others/seed-{self.seed}"
        folder = self.kept.out / name / "backbone"

        def run():
            paths = np.concatenate([manifest.paths for manifest in self.others])
            backbone = self._new_backbone(self._frontend_of(self.others))
            pretrainer, history = pretrain(
                self.study, backbone, paths, self.study.steps_all, self.seed, name
            )
            trained_on = f"{len(paths)} clips of {len(self.others)} sets"
            presets.save(pretrainer, folder, trained_on=trained_on)
            steps = self.study.steps_all
            return {"clips": len(paths), "steps": steps, "history": history}

        self.kept.done(f"{name}/pretraining", run)
        return presets.load(folder, load_weights=True)

    def _frontend_of(self, manifests):
        """A filterbank normalised on clips of several sets, a like number of each."""
        model = self.study.model
        pairs = [
            training.normalisation(manifest, model.frontend(), seed=self.seed)
            for manifest in manifests
        ]
        means, deviations = map(np.array, zip(*pairs, strict=True))
        mean = means.mean()
        return model.frontend(
            float(mean), float(np.sqrt(np.mean(deviations**2 + (means - mean) ** 2)))
        )

    # How good it is.

    def _without_training(self, backbone, kind):
        (train_x, train_y), (test_x, test_y) = (
            embedded(backbone, clips, self.study.pooling)
            for clips in (self.labelled, self.test)
        )
        measure = {
            "knn": functools.partial(evaluation.knn_accuracy, k=min(10, len(train_y))),
            "probe": functools.partial(evaluation.linear_probe, regularisation=10.0),
        }[kind]
        score = measure(train_x, train_y, test_x, test_y)
        return {"score": 100 * score, "pooling": self.study.pooling}

    def _fine_tune(self, measure, weights):
        folder = self.kept.out / self.name / measure
        result = training.fine_tune(
            weights or self._new_backbone(self.frontend),
            self.labelled,
            self.test,
            self.study.protocol,
            class_names=self.train.class_names,
            seed=self.seed,
            folder=folder,
            label=f"{self.name} {measure}",
        )
        shutil.rmtree(folder)  # what was kept for an interrupted run
        np.savez(Path(f"{folder}.npz"), scores=result.scores, targets=result.targets)
        return {
            "score": 100 * result.score,
            "epoch": result.epoch,
            "scored_clips": len(result.indices),
            "history": _numbers(result.history),
        }

    def _floor(self, kind):
        accuracy = floors.accuracy(kind, self.labelled, self.test, self.frontend)
        return {"score": 100 * accuracy}


def pretrain(study, backbone, paths, steps, seed, label):
    """Pretrains a backbone by a study's options: the pretrainer and the losses."""
    pretrainer, history = training.pretrain(
        backbone,
        paths,
        crop_seconds=study.model.crop_seconds,
        budget=training.Budget(
            study.learning_rate, steps=steps, label=f"{label} pretraining"
        ),
        seed=seed,
        **study.pretraining,
    )
    return pretrainer, _numbers(history)


def embedded(backbone, clips, pooling):
    """Embeddings `(N, D)` and classes `(N,)` of the clips that can be read."""
    from keras_asit import embed

    rate = backbone.frontend.sample_rate
    reader = data.ClipReader(clips, rate, cache=True)
    indices = reader.readable()
    waves = [reader.read(index) for index in indices]
    return embed(backbone, waves, rate, pooling=pooling), clips.targets()[indices]


def _numbers(history):
    return {name: [round(float(v), 5) for v in row] for name, row in history.items()}
