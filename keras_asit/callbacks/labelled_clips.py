"""Labelled clips and what a model makes of them while it trains."""

import keras
import numpy as np
from keras import ops

from keras_asit.data.batches import checked_count
from keras_asit.layers.pooling import POOLINGS, pool


class LabelledClips:
    """Clips with labels, whose embeddings are those of a model's backbone as it is now.

    The backbone is a pretrainer's teacher, or that of a classifier. Nothing of the
    run changes: no weight, and no state of a random generator.

    Args:
        source: `(x, y)`: features `(N, T, F)` or waveforms `(N, S)` at the frontend's
            rate, and labels `(N,)` or `(N, C)`; or a dataset of such batches that ends,
            as `labelled_dataset` makes one, which is read anew each time.
        batch_size: Clips of arrays in a forward pass.
        pooling: `"mean"` of the data tokens, `"cls"` or `"cls+mean"`, as for `embed`.

    Raises:
        ValueError: For arrays of different lengths or another pooling.
    """

    def __init__(self, source, batch_size=32, pooling="mean"):
        if pooling not in POOLINGS:
            raise ValueError(
                f"pooling is one of {list(POOLINGS)}; received {pooling!r}."
            )
        self.batch_size = checked_count("batch_size", batch_size)
        self.pooling = pooling
        self.arrays = None
        if isinstance(source, (tuple, list)):
            self.arrays = _checked_arrays(source)
        self.source = source

    def embed(self, model):
        """Embeddings `(N, D)` and labels of all clips, as numpy arrays."""
        backbone = backbone_of(model)
        embeddings, labels = [], []
        for x, y in self._batches():
            embeddings.append(self._embed_batch(backbone, x))
            labels.append(y)
        if not labels:
            raise ValueError(
                "Expected labelled clips; received a dataset without a batch. Does "
                "drop_remainder leave none?"
            )
        return np.concatenate(embeddings), np.concatenate(labels)

    def _batches(self):
        """Pairs of arrays; the silent clips that fill up a batch are left out."""
        if self.arrays:
            x, y = self.arrays
            for start in range(0, len(x), self.batch_size):
                part = slice(start, start + self.batch_size)
                yield x[part], y[part]
            return
        for batch in _each(self.source):
            x, y, *weights = (ops.convert_to_numpy(part) for part in batch)
            if weights:
                x, y = x[weights[0] > 0], y[weights[0] > 0]
            yield x, y

    def _embed_batch(self, backbone, x):
        number = len(x)
        self._size = max(number, getattr(self, "_size", 0))
        # One size for all, or the last batch would be compiled anew.
        x = np.pad(x, ((0, self._size - number),) + ((0, 0),) * (x.ndim - 1))
        if x.ndim == 2:
            x = backbone.frontend(x)
        tokens = backbone.predict_on_batch(x)[:number]
        tokens = np.asarray(tokens, "float32")
        return ops.convert_to_numpy(pool(tokens, self.pooling, backbone.grid))


def backbone_of(model):
    """The part of a model that embeds: the teacher, or a classifier's backbone."""
    for name in ("teacher", "backbone"):
        if hasattr(model, name):
            return getattr(model, name)
    raise ValueError(
        "Expected an ASiTPretrainer or an ASiTClassifier, which have a backbone. "
        f"Received: {type(model).__name__}"
    )


def class_numbers(labels):
    """One class a clip `(N,)`; from one-hot rows the number of the 1.

    Raises:
        ValueError: Where a clip has several classes or none.
    """
    labels = np.asarray(labels)
    if labels.ndim == 1:
        return labels
    if labels.ndim != 2 or not (np.sum(labels == 1, axis=1) == 1).all():
        raise ValueError(
            "Expected one class a clip: labels (N,), or rows with one 1. Received: "
            f"labels of shape {labels.shape} with clips of several classes or none. "
            "Leave those out, as by manifest.take"
        )
    return labels.argmax(axis=1)


def _checked_arrays(source):
    if len(source) != 2:
        raise ValueError(
            "Expected (x, y), clips and their labels, or a dataset of such batches. "
            f"Received: {len(source)} parts"
        )
    x, y = (np.asarray(part) for part in source)
    if len(x) != len(y) or not len(x) or x.ndim not in (2, 3):
        raise ValueError(
            "Expected (x, y): features (N, T, F) or waveforms (N, S), and N labels. "
            f"Received: x of shape {x.shape}, y of shape {y.shape}"
        )
    return x, y


def _each(dataset):
    """The batches of one pass; Python alone would not find the end of a PyDataset."""
    if isinstance(dataset, keras.utils.PyDataset) and "__iter__" not in dir(dataset):
        return (dataset[index] for index in range(len(dataset)))
    return iter(dataset)
