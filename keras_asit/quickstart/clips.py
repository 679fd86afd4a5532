"""The clips of a quickstart: what to train with and what to hold out."""

import dataclasses
import logging
from pathlib import Path

import numpy as np

from keras_asit import data, training
from keras_asit.audio import AudioError
from keras_asit.data import synthetic

log = logging.getLogger("keras_asit.quickstart")

GENERATED = {"train": 150, "test": 40}
PRETRAINING_SPLITS = ("pretrain", "unlabelled")


@dataclasses.dataclass(frozen=True)
class Task:
    """Clips of a run.

    Attributes:
        train: Labelled clips to train with.
        test: Held-out clips.
        pretraining: Paths of the clips without labels; no held-out clip.
        held_out: What was held out, in words.
    """

    train: data.Manifest
    test: data.Manifest
    pretraining: np.ndarray
    held_out: str


def load_task(settings, out):
    """Splits the clips: by fold, by split, or the generated default."""
    if settings.data is None:
        log.info("Making sound events (a deterministic generator, no download)")
        path = synthetic.write_dataset(
            Path(out).parent / "sound_events", splits=GENERATED, seed=0
        )
        manifest = data.read_manifest(path)
    else:
        manifest = data.read_manifest(settings.data)
    train, test, held_out = split(manifest, settings.fold)
    extra = [data.read_manifest(path) for path in settings.unlabelled]
    known = set(test.paths)
    pretraining = (
        [manifest.where(split=lambda s: s in PRETRAINING_SPLITS)]
        if ("split" in manifest.columns)
        else []
    )
    paths = [p for m in [train, *pretraining, *extra] for p in m.paths]
    paths = np.array(sorted({p for p in paths if p not in known}), dtype=object)
    return Task(train, test, paths, held_out)


def split(manifest, fold):
    """Training clips, held-out clips and what is held out, in words.

    Folds come first; a manifest without them needs splits train and test.
    """
    folds = set(manifest.columns.get("fold", [])) - {""}
    splits = set(manifest.columns.get("split", []))
    if folds:
        if str(fold) not in folds:
            raise ValueError(
                f"The manifest has the folds {sorted(folds)}; received fold {fold!r}."
            )
        others = manifest.where(fold=lambda f: f not in ("", str(fold)))
        return others, manifest.where(fold=str(fold)), f"fold {fold}"
    if {"train", "test"} <= splits:
        return manifest.where(split="train"), manifest.where(split="test"), "test split"
    raise ValueError(
        "To hold clips out, the manifest needs a column fold, or a column split with "
        f"train and test; it has the columns {sorted(manifest.columns)} and the splits "
        f"{sorted(splits)}."
    )


def few_labels(manifest, per_class, seed):
    """At most `per_class` clips of each class, drawn by the seed; 0 for all."""
    if not per_class:
        return manifest
    rng = np.random.default_rng(seed)
    targets = manifest.targets()
    chosen = [
        rng.permutation(np.flatnonzero(targets == target))[:per_class]
        for target in range(len(manifest.class_names))
    ]
    return manifest.take(np.sort(np.concatenate(chosen)))


def model_for(manifest):
    """A small model whose crop and rate fit the clips."""
    seconds, rate = _typical_clip(manifest)
    return training.SmallModel(
        sample_rate=min(16000, rate),
        crop_seconds=float(np.clip(round(0.8 * seconds, 1), 0.4, 4.0)),
    )


def _typical_clip(manifest, looked_at=50):
    """Median length in seconds and commonest rate, by reading a few clips."""
    import soundfile

    paths = manifest.paths[:: max(1, len(manifest) // looked_at)]
    infos = []
    for path in paths:
        try:
            infos.append(soundfile.info(path))
        except (RuntimeError, OSError):
            continue
    if not infos:
        raise AudioError(paths[0], "none of the clips can be read; check the manifest")
    rates = [info.samplerate for info in infos]
    return float(np.median([i.duration for i in infos])), max(rates, key=rates.count)
