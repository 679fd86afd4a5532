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
            `ASiTClassifier`, of another class for example, with a pooling, a frozen
            backbone or an augmentation of its own; by default those of the protocol.

    Returns:
        A `FineTuned`.

    Raises:
        ValueError: If the protocol needs validation clips and there are none, or it
            does not fit the backbone or the clips.

    Example:

    >>> path = keras_asit.data.synthetic.write_dataset(
    ...     "events", splits={"train": 2, "test": 1}, seconds=0.5)
    >>> clips = keras_asit.data.read_manifest(path)
    >>> protocol = keras_asit.training.Protocol(epochs=1, batch_size=4, seconds=0.4)
    >>> train, test = clips.where(split="train"), clips.where(split="test")
    >>> result = fine_tune(backbone, train, test, protocol)
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
        saving = Checkpoint(kept / "checkpoints", save_every) if folder else None
        chosen = _choice(run, kept, saving, {"test": test, "validation": validation})
        several = [EpochBar(label, protocol.epochs), chosen, saving, *callbacks]
        history = run.fit(
            [callback for callback in several if callback is not None],
            resume=saving and saving.directory,
        )
        if chosen is not None:
            chosen.apply(run.classifier)
    score, scores, targets, indices = run.score(run.classifier, test)
    epoch = None if protocol.average_epochs else protocol.epochs
    if isinstance(chosen, BestEpoch):
        epoch = chosen.best
    return FineTuned(run.classifier, score, scores, targets, indices, epoch, history)


def _choice(run, folder, saving, clips):
    """The callback that keeps the weights which count, where they are not the last."""
    protocol, steps = run.protocol, len(run.clips)
    if protocol.average_epochs is not None:
        file = folder / "average.npz"
        return AverageEpochs(*protocol.average_epochs, file, steps, saving)
    looked_at = {"validation": "validation", "ast_published": "test"}
    if protocol.selection not in looked_at:
        return None
    chosen = clips[looked_at[protocol.selection]]
    return BestEpoch(lambda model: run.score(model, chosen)[0], folder, steps, saving)


class _Run:
    """The classifier and the clips of a run."""

    def __init__(self, backbone, train, protocol, class_names, seed, cache, make):
        self.protocol, self.cache, self.seed = protocol, cache, seed
        names = train.class_names if class_names is None else class_names
        with seeded(seed):  # of stochastic depth too
            self.backbone = adapted(backbone, protocol)
            self.classifier = (make or self._linear)(self.backbone, names)
        frontend = self.backbone.frontend
        self._readers, self._rate = {}, frontend.sample_rate
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
        reader = self._readers.setdefault(
            id(clips), data.ClipReader(clips, self._rate, cache=self.cache)
        )
        scores, indices = clip_probabilities(
            classifier, clips, seconds=self.protocol.seconds, reader=reader
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
    # Half a patch may be cut, as the field does with 998 frames and a patch of 16.
    if frames > source.num_frames + source.patch_size // 2:
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
