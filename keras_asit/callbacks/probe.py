"""A callback that asks every few epochs what the embeddings are worth."""

import keras
import numpy as np

from keras_asit import evaluation, processes
from keras_asit.callbacks.labelled_clips import (
    LabelledClips,
    backbone_of,
    class_numbers,
)
from keras_asit.callbacks.tolerance import Tolerance
from keras_asit.data.batches import checked_count

PREFIX = "probe/"


class Probe(keras.callbacks.Callback):
    """Logs how well simple classifiers do on the frozen embeddings of labelled clips.

    The losses of pretraining do not tell whether features become useful: a teacher that
    names a few pseudo-classes for all clips has the lowest. Every few epochs a vote of
    nearest neighbours and a logistic regression are fitted to the teacher's embeddings
    of `train`, and scored on those of `test`: `evaluation.knn_accuracy` and
    `evaluation.linear_probe`. The model learns nothing of the labels, and its training
    is the same, to the bit, as without a probe.

    At the end of an epoch `logs` get `probe/knn_accuracy` and `probe/linear_accuracy`,
    so that `history`, a `CSVLogger`, `TensorBoard` and the progress bar have them. They
    are NaN in epochs without a probe, since a `CSVLogger` has the columns of its first
    epoch. `baseline` holds those of before training.

    With `keras.Model.fit` of other models than `ASiTPretrainer` name it before the
    callbacks that read its numbers.

    Args:
        train: `(x, y)`: features `(N, T, F)` or waveforms `(N, S)` at the frontend's
            rate, with one class a clip; or a dataset that ends, of such batches, as
            `labelled_dataset` makes one.
        test: The same of other clips, best of other recordings.
        every: Epochs from one probe to the next; the last epoch is always probed.
        k: Number of neighbours, at most that of the clips of `train`.
        batch_size: Clips of arrays in a forward pass.
        pooling: `"mean"` of the data tokens, `"cls"` or `"cls+mean"`.
        seed: Seed of the logistic regression.

    Raises:
        ValueError: For arguments that are none of these; when training begins, for
            clips that do not fit the model or have not one class each, or where several
            processes train it. An error in a later epoch is a warning.

    Example:

    >>> probe = Probe((features, targets), (features, targets), every=2, k=1)
    >>> history = pretrainer.fit(views, epochs=2, verbose=0, callbacks=[probe])
    >>> history.history["probe/knn_accuracy"]
    [nan, 1.0]
    """

    adds_to_logs = True

    def __init__(
        self, train, test, every=5, k=10, batch_size=32, pooling="mean", seed=0
    ):
        super().__init__()
        self.train = LabelledClips(train, batch_size, pooling)
        self.test = LabelledClips(test, batch_size, pooling)
        self.every = checked_count("every", every)
        self.k = checked_count("k", k)
        self.seed = seed
        self.baseline = None
        self._tolerance = Tolerance("Probe")

    def on_train_begin(self, logs=None):
        backbone_of(self.model)
        processes.check_one(self.model, "Probe")
        self.baseline = self.measure()

    def on_epoch_end(self, epoch, logs=None):
        found = dict.fromkeys(self.baseline, np.nan)
        is_last = epoch + 1 == self.params.get("epochs")
        if (epoch + 1) % self.every == 0 or is_last or self.model.stop_training:
            with self._tolerance.going_on("probe"):
                found = self.measure()
        if logs is not None:
            logs.update({PREFIX + name: value for name, value in found.items()})

    def measure(self):
        """The accuracies of now, by name."""
        arrays = []
        for clips in (self.train, self.test):
            embeddings, labels = clips.embed(self.model)
            arrays += [embeddings, class_numbers(labels)]
        return {
            "knn_accuracy": evaluation.knn_accuracy(*arrays, k=self.k),
            "linear_accuracy": evaluation.linear_probe(*arrays, seed=self.seed),
        }
