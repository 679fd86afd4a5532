"""One fine-tuning by a protocol, and its scores."""

import dataclasses
import logging
import tempfile
from pathlib import Path

import keras
import numpy as np

from keras_asit import data, evaluation
from keras_asit.callbacks import Checkpoint
from keras_asit.models import ASiTBackbone, ASiTClassifier
from keras_asit.presets import resized
from keras_asit.training.epochs import AverageEpochs, BestEpoch, EpochBar
from keras_asit.training.fine_tuning import clip_probabilities
from keras_asit.training.seeding import seeded

log = logging.getLogger("keras_asit.training")


@dataclasses.dataclass(frozen=True)
class FineTuned:
    """What a fine-tuning gave.

    Attributes:
        classifier: The `ASiTClassifier`.
        score: Accuracy or mean average precision on the test clips, in [0, 1].
        scores: Probabilities `(N, C)` of the test clips that could be read.
        targets: Their classes `(N,)`, or multi-hot `(N, C)`.
        indices: Their numbers in the manifest.
        epoch: The epoch that counts, from 1; None where weights were averaged.
        history: Losses and metrics by epoch.
    """

    classifier: ASiTClassifier
    score: float
    scores: np.ndarray
    targets: np.ndarray
    indices: np.ndarray
    epoch: int | None
    history: dict


def fine_tune(
    backbone,
    train,
    test,
    protocol,
    *,
    validation=None,
    class_names=None,
    seed=0,
    folder=None,
    save_every=1000,
    cache=True,
    label="fine-tuning",
    callbacks=(),
    classifier=None,
):
    """Trains a copy of a backbone and a new head on labelled clips, and scores it.

    Args:
        backbone: An `ASiTBackbone`, pretrained or new; it stays as it is.
        train: `Manifest` of the training clips.
        test: `Manifest` of the clips that are scored.
        protocol: A `Protocol`.
        validation: `Manifest` of the clips that `selection="validation"` looks at.
        class_names: Order of the classes; the training clips' by default.
        seed: Integer that fixes the head, stochastic depth, orders, crops and draws.
        folder: Folder of the run: checkpoints and what selection and averaging keep.
            A run that was interrupted goes on from there. None keeps nothing.
        save_every: Steps from one checkpoint to the next.
        cache: Whether waveforms stay in memory.
        label: What the progress bar says.
        callbacks: More callbacks of `fit`.
        classifier: Function of the adapted backbone and `class_names` that makes an
            `ASiTClassifier`, of another class for example; by default one with the
            protocol's pooling, frozen or not, and its augmentation.

    Returns:
        A `FineTuned`.

    Raises:
        ValueError: If the protocol needs validation clips and there are none, or it
            does not fit the backbone or the clips.

    Example:

    >>> path = keras_asit.data.synthetic.write_dataset(
    ...     "events", splits={"train": 2, "test": 1}, seconds=0.5)
    >>> clips = keras_asit.data.read_manifest(path)
    >>> result = fine_tune(backbone, clips.where(split="train"),
    ...     clips.where(split="test"), Protocol(epochs=1, batch_size=4, seconds=0.4))
    >>> 0 <= result.score <= 1
    True
    """
    if protocol.selection == "validation" and not (validation and len(validation)):
        raise ValueError(
            "The protocol selects the epoch on validation clips; received none. Give "
            'validation=..., or a protocol of selection="last".'
        )
    with tempfile.TemporaryDirectory() as temporary:
        run = _Run(backbone, train, protocol, class_names, seed, cache, classifier)
        kept = Path(folder or temporary)
        kept.mkdir(parents=True, exist_ok=True)
        looked_at = {"validation": validation, "ast_published": test}
        selection = looked_at.get(protocol.selection)
        best = selection and BestEpoch(
            lambda model: run.score(model, selection)[0], kept, len(run.clips)
        )
        history = run.fit(
            [
                EpochBar(label, protocol.epochs),
                *_averaging(protocol, kept, len(run.clips)),
                *([best] if best else ()),
                *([Checkpoint(kept / "checkpoints", save_every)] if folder else ()),
                *callbacks,
            ],
            resume=kept / "checkpoints" if folder else None,
        )
    score, scores, targets, indices = run.score(run.classifier, test)
    epoch = None if protocol.average_epochs else protocol.epochs
    return FineTuned(
        run.classifier,
        score,
        scores,
        targets,
        indices,
        best.best if best else epoch,
        history,
    )


def _averaging(protocol, folder, steps):
    if protocol.average_epochs is None:
        return []
    return [AverageEpochs(*protocol.average_epochs, folder / "average.npz", steps)]


class _Run:
    """The classifier and the clips of a run."""

    def __init__(self, backbone, train, protocol, class_names, seed, cache, make):
        self.protocol, self.cache, self.seed = protocol, cache, seed
        names = train.class_names if class_names is None else class_names
        self.backbone = adapted(backbone, protocol)
        frontend = self.backbone.frontend
        with seeded(seed):
            self.classifier = (make or self._linear)(self.backbone, names)
        self.clips = data.labelled_dataset(
            train,
            batch_size=protocol.batch(len(train)),
            sample_rate=frontend.sample_rate,
            frontend=frontend,
            class_names=self.classifier.class_names,
            multi_label=protocol.is_multi_label or None,
            training=True,
            cache=cache,
            seed=seed,
            **protocol.data_options(),
        )
        self.classifier.compile(
            optimizer=protocol.optimizer(len(train)), loss=protocol.keras_loss()
        )

    def _linear(self, backbone, names):
        protocol = self.protocol
        return ASiTClassifier(
            backbone,
            len(names),
            multi_label=protocol.is_multi_label,
            pooling=protocol.pooling,
            class_names=names,
            freeze_backbone=protocol.freeze_backbone,
            augmentation=protocol.augmentation(backbone.frontend.std, self.seed),
        )

    def fit(self, callbacks, resume):
        history = self.classifier.fit(
            self.clips,
            epochs=self.protocol.epochs,
            shuffle=False,  # The dataset does, by the seed.
            verbose=0,
            callbacks=callbacks,
            resume=resume,
        )
        return history.history

    def score(self, classifier, clips):
        """Score, probabilities, targets and numbers of the clips that are readable."""
        scores, indices = clip_probabilities(
            classifier, clips, seconds=self.protocol.seconds, cache=self.cache
        )
        names, several = classifier.class_names, self.protocol.metric != "accuracy"
        targets = clips.targets(names, several or None)[indices]
        measure = evaluation.mean_average_precision if several else evaluation.accuracy
        return float(measure(targets, scores)), scores, targets, indices


def adapted(backbone, protocol):
    """A copy of a backbone for the protocol's length, constants and stochastic depth.

    Position embeddings are interpolated along time where the length is another, which
    is logged.

    Args:
        backbone: An `ASiTBackbone`, which stays as it is.
        protocol: A `Protocol`.

    Raises:
        ValueError: If the protocol's clips are longer than its frames.
    """
    source = resized(backbone, num_frames=protocol.num_frames)
    config = {**source.get_config(), "name": "fine_tuned", "trainable": True}
    frontend = source.frontend.get_config()
    if protocol.mean is not None:
        frontend |= {"mean": protocol.mean, "std": protocol.std}
    frontend = type(source.frontend).from_config(frontend)
    frames = frontend.frames(round(protocol.seconds * frontend.sample_rate))
    if frames > source.num_frames + source.patch_size:
        raise ValueError(
            f"Clips of {protocol.seconds} s have {frames} frames, the input "
            f"{source.num_frames}: the rest would never be seen. Give the protocol "
            f"num_frames={-(-frames // source.patch_size) * source.patch_size}, or "
            "fewer seconds."
        )
    copy = ASiTBackbone.from_config(
        {**config, "drop_path": protocol.drop_path, "frontend": frontend}
    )
    for ours, theirs in zip(copy.weights, source.weights, strict=True):
        ours.assign(keras.ops.copy(theirs))
    return copy
