"""Fine-tuning runs under one budget, and their scores."""

import keras
import numpy as np

from keras_asit import data
from keras_asit.models import ASiTBackbone, ASiTClassifier
from keras_asit.models.classifier import cover
from keras_asit.optimizers import ScheduledAdamW
from keras_asit.schedules import WarmupCosine
from keras_asit.training.budget import ENDLESS, Budget
from keras_asit.training.seeding import seeded

CLIPS_AT_ONCE = 256  # whose windows are in memory


class FineTuning:
    """Fine-tunes one network again and again under one budget.

    The network is built and compiled once; every run starts from given backbone
    weights and a new head, with a new optimiser state.

    Args:
        backbone: An `ASiTBackbone` whose architecture is fine-tuned; a copy is.
        class_names: Names of the classes.
        crop_seconds: Length of a training crop.
        steps: Steps of a run.
        batch_size: Clips in a batch.
        learning_rate: Peak of the learning rate.
        weight_decay: Weight decay.
        drop_path: Stochastic depth.
        pooling: Of the `ASiTClassifier`.
    """

    def __init__(
        self,
        backbone,
        class_names,
        *,
        crop_seconds,
        steps=200,
        batch_size=32,
        learning_rate=1e-3,
        weight_decay=0.05,
        drop_path=0.0,
        pooling="cls",
    ):
        config = {**backbone.get_config(), "name": "fine_tuned", "trainable": True}
        with seeded(0):  # Of the paths that are dropped; every run begins with it.
            self.classifier = ASiTClassifier(
                ASiTBackbone.from_config({**config, "drop_path": drop_path}),
                len(class_names),
                pooling=pooling,
                class_names=class_names,
            )
        self.classifier.compile(
            optimizer=ScheduledAdamW(
                WarmupCosine(learning_rate, 1e-6, steps, steps // 10),
                weight_decay=weight_decay,
                global_clipnorm=3.0,
            )
        )
        self.classifier.optimizer.build(self.classifier.trainable_variables)
        self.crop_seconds, self.steps, self.batch_size = crop_seconds, steps, batch_size
        self._optimizer_state = _values(self.classifier.optimizer.variables)
        self._seed_state = _values(self.classifier.non_trainable_variables)

    def run(self, clips, weights=None, seed=0, callbacks=()):
        """One run.

        Args:
            clips: `Manifest` of the training clips, one label each.
            weights: Backbone to start from, or None for random weights.
            seed: Integer that fixes the random weights, the order and the crops.
            callbacks: Callbacks of `fit`.

        Returns:
            `(classifier, history)`. The classifier is used again by the next run.
        """
        self._reset(weights, seed)
        classifier, batch_size = self.classifier, min(self.batch_size, len(clips))
        frontend = classifier.backbone.frontend
        train = data.labelled_dataset(
            clips,
            batch_size=batch_size,
            sample_rate=frontend.sample_rate,
            seconds=self.crop_seconds,
            frontend=frontend,
            class_names=classifier.class_names,
            training=True,
            shift_probability=0.5,
            cache=True,
            seed=seed,
        )
        stop = Budget(1.0, steps=self.steps, label="fine-tuning", schedule=False)
        history = classifier.fit(
            train,
            epochs=ENDLESS,
            shuffle=False,  # The dataset does, by the seed.
            verbose=0,
            callbacks=[stop, *callbacks],
        )
        train.examples.reader.end_of_epoch()  # The budget may have ended within one.
        return classifier, history.history

    def _reset(self, weights, seed):
        classifier = self.classifier
        config = {**classifier.backbone.get_config(), "name": "new_backbone"}
        with seeded(seed):
            start = ASiTBackbone.from_config(config) if weights is None else weights
        for ours, theirs in zip(
            classifier.backbone.weights, start.weights, strict=True
        ):
            ours.assign(keras.ops.copy(theirs))
        initial = keras.initializers.TruncatedNormal(stddev=0.02, seed=seed)
        kernel, bias = classifier.head.weights
        kernel.assign(initial(kernel.shape))
        bias.assign(keras.ops.zeros(bias.shape))
        _assign(classifier.optimizer.variables, self._optimizer_state)
        _assign(classifier.non_trainable_variables, self._seed_state)


def _values(variables):
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def _assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def clip_probabilities(classifier, clips, seconds=None, reader=None):
    """Class probabilities of clips of any length, as `predict_file` gives them.

    Args:
        classifier: An `ASiTClassifier`.
        clips: A `Manifest`.
        seconds: Length of the windows that cover a clip; the backbone's by default.
        reader: The `data.ClipReader` of these clips, for one that is used again; by
            default a new one, which keeps waveforms in memory.

    Returns:
        `(probabilities, indices)`: `(N, C)`, and the numbers of the N clips that
        could be read; a warning names the others.
    """
    backbone = classifier.backbone
    frontend = backbone.frontend
    if reader is None:
        reader = data.ClipReader(clips, frontend.sample_rate, cache=True)
    indices = reader.readable()
    samples = frontend.samples(backbone.num_frames)
    if seconds is not None:
        samples = round(seconds * frontend.sample_rate)
    starts = range(0, len(indices), CLIPS_AT_ONCE)
    groups = [indices[start : start + CLIPS_AT_ONCE] for start in starts]
    scores = [_mean_probabilities(classifier, reader, g, samples) for g in groups]
    return np.concatenate(scores), indices


def _mean_probabilities(classifier, reader, indices, samples):
    """`(N, C)`, over the windows of each clip."""
    windows = [cover(reader.read(index), samples) for index in indices]
    scores = classifier.probabilities(np.concatenate(windows))
    ends = np.cumsum([len(group) for group in windows])[:-1]
    return np.stack([group.mean(axis=0) for group in np.split(scores, ends)])
