"""The clips of a quickstart: what to train with and what to hold out."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import soundfile

from keras_asit import data, training
from keras_asit.audio import AudioError
from keras_asit.data import synthetic

GENERATED = {"train": 150, "test": 40}
PRETRAINING_SPLITS = ("pretrain", "unlabelled")


@dataclasses.dataclass(frozen=True)
class Task:
    """Clips of a run.

    Attributes:
        train: Labelled clips to train with.
        test: Held-out clips.
        pretraining: Paths of the clips for pretraining, labels aside: those to train
            with, those without a label, and further ones; no held-out clip.
        held_out: What was held out, in words.
    """

    train: data.Manifest
    test: data.Manifest
    pretraining: np.ndarray
    held_out: str


def load_task(settings):
    """The clips of a run: those of a manifest, or generated beside the run's folder.

    Clips without a label are for pretraining, but for those of the held-out fold.

    Raises:
        ValueError: If a manifest cannot be used, clips have more than one label, or
            there are not two classes to train with and a clip to hold out.
    """
    extra = [data.read_manifest(path) for path in settings.unlabelled]
    source = settings.data
    if source is None:
        events = Path(settings.out).parent / "sound_events"
        source = synthetic.write_dataset(events, splits=GENERATED, seed=0)
    manifest = data.read_manifest(source)
    for each in (manifest, *extra):  # pretraining takes the paths alone
        each.check_links()
    if manifest.is_multi_label:
        raise ValueError(
            f"Expected one label a clip in {source}; received clips with several, or a "
            "column labels. Keep one label each, in a column label."
        )
    if not np.any(manifest.labels != ""):
        raise ValueError(
            f"Expected labelled clips in {source}; received {len(manifest)} without a "
            "label. Put them in one folder a class, or add a column label."
        )
    seen, unseen, held_out = split(manifest, settings.fold)
    sources = [seen.paths, _without_labels(manifest), *(e.paths for e in extra)]
    paths = _other_paths(np.concatenate(sources), unseen)
    train, test = _labelled(seen), _labelled(unseen)
    classes = sorted(set(train.labels))
    if len(classes) < 2 or not len(test):
        raise ValueError(
            f"Expected labelled clips of at least two classes to train with, and some "
            f"to hold out, in {source}; received the classes {classes} and {len(test)} "
            f"held out ({held_out}). Add clips, or hold out others."
        )
    return Task(train, test, paths, held_out)


def _labelled(manifest):
    return manifest.take(np.flatnonzero(manifest.labels != ""))


def _without_labels(manifest):
    if not _values(manifest, "split"):
        return manifest.paths[manifest.labels == ""]
    return manifest.paths[np.isin(manifest.columns["split"], PRETRAINING_SPLITS)]


def _other_paths(paths, test):
    """Each path once, without the files of `test` under whatever name."""
    held_out = {os.path.realpath(path) for path in test.paths}
    others = {os.path.realpath(path): path for path in paths}
    kept = sorted(path for real, path in others.items() if real not in held_out)
    return np.array(kept, dtype=object)


def split(manifest, fold):
    """Training clips, held-out clips and what is held out, in words.

    Folds come first, then the splits train and test. Where there is neither, as in a
    folder of class folders, a fifth of each class is held out, always the same.
    """
    folds, splits = _values(manifest, "fold"), _values(manifest, "split")
    if folds:
        if str(fold) not in folds:
            raise ValueError(
                f"The manifest has the folds {sorted(folds)}; received fold {fold!r}."
            )
        if len(folds) == 1:
            raise ValueError(
                f"Expected two folds or more; the manifest has only {fold!r}, and "
                "nothing to train with. Leave out the column fold to hold out a fifth."
            )
        others = manifest.where(fold=lambda f: f not in ("", str(fold)))
        return others, manifest.where(fold=str(fold)), f"fold {fold}"
    if {"train", "test"} <= splits:
        return manifest.where(split="train"), manifest.where(split="test"), "test split"
    held_out = _a_fifth_of_each_class(manifest)
    if not splits and len(held_out):
        train = manifest.take(np.setdiff1d(np.arange(len(manifest)), held_out))
        return train, manifest.take(held_out), "a fifth of each class"
    raise ValueError(
        "To hold clips out, the manifest needs a column fold, or a column split with "
        "train and test, or neither and two clips of a class; it has the columns "
        f"{sorted(manifest.columns)} and the splits {sorted(splits)}."
    )


def _values(manifest, column):
    return set(manifest.columns.get(column, [])) - {""}


def _a_fifth_of_each_class(manifest):
    """Numbers of the clips, drawn; at least one of a class, but never its only one."""
    rng = np.random.default_rng(0)
    chosen = []
    for name in manifest.class_names:
        clips = np.flatnonzero(manifest.labels == name)
        count = max(1, len(clips) // 5) if len(clips) > 1 else 0
        chosen.extend(rng.permutation(clips)[:count])
    return np.sort(np.array(chosen, dtype=int))


def missing_classes(task):
    """Classes that are held out without a clip to train with."""
    return sorted(set(task.test.labels) - set(task.train.labels))


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
    """A small model whose crop and rate fit the clips.

    A crop is a third of a clip: two of them then seldom overlap, and the global
    loss has to find what parts of a clip share rather than the part they have in
    common. Clips of less than 1.5 s have no thirds to speak of.
    """
    seconds, rate = _typical_clip(manifest)
    share = 1 / 3 if seconds >= 1.5 else 0.8
    return training.SmallModel(
        sample_rate=min(16000, rate),
        crop_seconds=float(np.clip(round(share * seconds, 1), 0.4, 4.0)),
    )


def _typical_clip(manifest, looked_at=50):
    """Median length in seconds and commonest rate, by reading a few clips."""
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
