"""AudioSet's measures as Keras metrics: for `compile`, batch by batch.

`keras_asit.evaluation` has the same as functions of all scores at once, exact. A
metric is computed inside the compiled step, where its state has a fixed size: it
counts the positive and the negative clips of each class in bins of their logits.
"""

import math

import keras
from keras import ops

from keras_asit import replicas

_LIMIT = math.asinh(32.0)  # logits beyond +-32 are in the outer bins


class _Ranking(keras.metrics.Metric):
    """Counts clips of each class in bins of their logits; what of them, is a subclass'.

    Bins are of equal width in `asinh(logit)`: about `2 asinh(32) / num_bins` wide
    near 0, where clips are told apart, and wider in proportion to the logit far from
    it. They are numbered from the highest logit down, the order of the ranks.
    """

    def __init__(self, num_classes, num_bins, from_logits, name):
        # Counts in half precision end at 256 or 2048, whatever the policy.
        super().__init__(name=name, dtype="float32")
        if num_classes < 1 or num_bins < 2:
            raise ValueError(
                "num_classes is at least 1 and num_bins at least 2; received "
                f"num_classes={num_classes}, num_bins={num_bins}."
            )
        self.num_classes = num_classes
        self.num_bins = num_bins
        self.from_logits = from_logits
        self.counts = self.add_variable(
            shape=(2, num_classes, num_bins),  # negatives, positives
            initializer="zeros",
            dtype="float32",
            aggregation="sum",
            name="counts",
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Counts the clips of a batch.

        Args:
            y_true: `(B, C)` of 0 and 1; of targets that mixup made, a class counts as
                present from one half on.
            y_pred: `(B, C)` logits, or probabilities.
            sample_weight: `(B,)`; clips of weight 0, padding, do not count.

        Raises:
            ValueError: If the shapes are others.
        """
        scores = ops.cast(y_pred, "float32")
        y_true = ops.convert_to_tensor(y_true)
        self._check_shapes(y_true, scores)
        weights = _of_clips(sample_weight, scores)
        if not self.from_logits:
            scores = ops.log(scores) - ops.log1p(-scores)
        # NaN, also of what is no probability, has no bin: the value is NaN then.
        counted = ops.where(ops.isnan(scores), math.nan, weights)
        counted = ops.where(ops.equal(weights, 0.0), 0.0, counted)
        rows = ops.cast(ops.cast(y_true, "float32") >= 0.5, "int32") * self.num_classes
        places = (rows + ops.arange(self.num_classes)) * self.num_bins
        added = ops.segment_sum(
            ops.reshape(counted, (-1,)),
            ops.reshape(places + self._bins(scores), (-1,)),
            num_segments=2 * self.num_classes * self.num_bins,
        )
        self.counts.assign_add(ops.reshape(added, self.counts.shape))

    def _bins(self, logits):
        """Numbers of the bins of logits, from the highest down."""
        place = (_LIMIT - ops.arcsinh(logits)) * (self.num_bins / (2 * _LIMIT))
        place = ops.where(ops.isnan(logits), 0.0, place)
        return ops.cast(ops.clip(place, 0, self.num_bins - 1), "int32")

    def _check_shapes(self, y_true, y_pred):
        for values in (y_true, y_pred):
            if len(values.shape) != 2 or values.shape[1] != self.num_classes:
                raise ValueError(
                    f"{self.name} is of targets and scores (B, {self.num_classes}), "
                    f"targets 0 or 1; received targets {tuple(y_true.shape)}, scores "
                    f"{tuple(y_pred.shape)}. keras.ops.one_hot makes such targets of "
                    "class numbers."
                )

    def merge_state(self, metrics):
        """Adds what other metrics of the same classes and bins have counted.

        Args:
            metrics: A list of metrics of this module.

        Raises:
            ValueError: If one has other classes or bins.
        """
        for metric in metrics:
            if metric.counts.shape != self.counts.shape:
                raise ValueError(
                    "Expected metrics with num_classes="
                    f"{self.num_classes}, num_bins={self.num_bins}; received "
                    f"num_classes={metric.num_classes}, num_bins={metric.num_bins}."
                )
        for metric in metrics:
            self.counts.assign_add(metric.counts)

    def _mean(self, of_a_class):
        """Mean of `of_a_class(negatives, positives)`, `(C, bins)` to `(C,)`.

        Over the classes where it is defined; NaN where there is none. Under
        `tf.distribute` each replica counts its own clips; a value is of all of them.
        """
        # A copy, as TensorFlow reduces no bare variable between processes.
        counts = replicas.sum_over_replicas(ops.copy(self.counts))
        values, is_defined = of_a_class(counts[0], counts[1])
        number = ops.sum(ops.cast(is_defined, "float32"))
        return ops.sum(ops.where(is_defined, values, 0.0)) / number

    def get_config(self):
        return {
            "num_classes": self.num_classes,
            "num_bins": self.num_bins,
            "from_logits": self.from_logits,
            "name": self.name,
        }


def _of_clips(sample_weight, scores):
    """The weight of each score, `(B, C)`, of weights `(B,)`."""
    if sample_weight is None:
        return ops.ones_like(scores)
    weights = ops.cast(sample_weight, "float32")
    if len(weights.shape) > 2 or (len(weights.shape) == 2 and weights.shape[1] != 1):
        raise ValueError(
            "sample_weight is a weight a clip, (B,); received shape "
            f"{tuple(weights.shape)}."
        )
    return ops.reshape(weights, (-1, 1)) * ops.ones_like(scores)


def _average_precision(negatives, positives):
    """`(C,)`, and for which classes it is defined: those with a positive.

    A bin is a tie: its positives get the precision of all that is in it or above.
    """
    right = ops.cumsum(positives, axis=1)
    retrieved = right + ops.cumsum(negatives, axis=1)
    precision = ops.divide_no_nan(right, retrieved)
    total = ops.sum(positives, axis=1)
    values = ops.divide_no_nan(ops.sum(positives * precision, axis=1), total)
    return values, ops.not_equal(total, 0.0)


def _auc(negatives, positives):
    """`(C,)`, and for which classes it is defined; ties count one half."""
    total = ops.sum(positives, axis=1)
    others = ops.sum(negatives, axis=1)
    above = ops.cumsum(negatives, axis=1) - negatives / 2
    share_above = ops.divide_no_nan(above, others[:, None])
    lost = ops.divide_no_nan(ops.sum(positives * share_above, axis=1), total)
    return 1.0 - lost, ops.not_equal(total * others, 0.0)


@keras.saving.register_keras_serializable("keras_asit")
class MeanAveragePrecision(_Ranking):
    """Macro mean average precision, the measure of AudioSet (paper, Section 4).

    That of `evaluation.mean_average_precision`, of scores rounded to bins: exact where
    no two clips of a class share a bin. Otherwise a class' average precision is off by
    at most the mean over its positives of `(m - 1) / r`, where m clips are in the
    positive's bin and r in it or above: on 20,000 made-up clips of 527 classes the mean
    is 0.0006 too low (`python -m benchmarks.metrics`). Classes without a positive are
    left out. It is NaN until there is one, and where a score is.

    Give it to `compile` as a weighted metric: the clips that only fill up a batch have
    weight 0. It is right with any number of devices, on either backend; under
    `tf.distribute` make it in the strategy's scope. Counts are exact up to 2^24 clips.

    Args:
        num_classes: C.
        num_bins: Bins a class. The state is of `8 C num_bins` bytes.
        from_logits: Whether scores are logits, as of `ASiTClassifier`, rather than
            probabilities.
        name: Its name in the logs.

    Input shape:
        Targets `(B, C)` of 0 and 1, scores `(B, C)`, weights `(B,)`.

    Raises:
        ValueError: If C or the number of bins is too small, or an input has another
            shape, class numbers `(B,)` among them.

    Example:

    >>> metric = keras_asit.metrics.MeanAveragePrecision(num_classes=3)
    >>> metric.update_state([[1, 0, 0], [0, 1, 0]], [[2.0, 1.0, 0.0], [-2.0, -1.0, 0]])
    >>> metric.update_state([[1, 1, 0]], [[1.0, 2.0, -1.0]])
    >>> round(float(metric.result()), 4)
    0.9167
    >>> classifier = keras_asit.models.ASiTClassifier(backbone, 3, multi_label=True)
    >>> classifier.compile(weighted_metrics=[metric])
    """

    def __init__(
        self,
        num_classes,
        num_bins=2048,
        from_logits=True,
        name="mean_average_precision",
    ):
        super().__init__(num_classes, num_bins, from_logits, name)

    def result(self):
        return self._mean(_average_precision)


@keras.saving.register_keras_serializable("keras_asit")
class MeanAUC(_Ranking):
    """Macro mean of the areas under the ROC curves.

    That of `evaluation.mean_auc`, of scores rounded to bins: a class' area is off by
    at most half the share of its pairs of a positive and a negative that share a bin.
    Classes without a positive or a negative are left out. Weights and devices are as
    of `MeanAveragePrecision`.

    Args:
        num_classes: C.
        num_bins: Bins a class.
        from_logits: Whether scores are logits rather than probabilities.
        name: Its name in the logs.

    Input shape:
        Targets `(B, C)` of 0 and 1, scores `(B, C)`, weights `(B,)`.

    Raises:
        ValueError: As of `MeanAveragePrecision`.

    Example:

    >>> metric = keras_asit.metrics.MeanAUC(num_classes=1, from_logits=False)
    >>> metric.update_state([[1], [0], [1]], [[0.9], [0.8], [0.8]])
    >>> float(metric.result())
    0.75
    """

    def __init__(self, num_classes, num_bins=2048, from_logits=True, name="mean_auc"):
        super().__init__(num_classes, num_bins, from_logits, name)

    def result(self):
        return self._mean(_auc)


@keras.saving.register_keras_serializable("keras_asit")
class DPrime(MeanAUC):
    """d-prime of the mean area under the ROC curves, `evaluation.d_prime`.

    Infinite where the mean area is 1. All else is as of `MeanAUC`.

    Args:
        num_classes: C.
        num_bins: Bins a class.
        from_logits: Whether scores are logits rather than probabilities.
        name: Its name in the logs.

    Input shape:
        Targets `(B, C)` of 0 and 1, scores `(B, C)`, weights `(B,)`.

    Raises:
        ValueError: As of `MeanAveragePrecision`.

    Example:

    >>> metric = keras_asit.metrics.DPrime(num_classes=1, from_logits=False)
    >>> metric.update_state([[1], [0], [1]], [[0.9], [0.8], [0.8]])
    >>> round(float(metric.result()), 3)
    0.954
    """

    def __init__(self, num_classes, num_bins=2048, from_logits=True, name="d_prime"):
        super().__init__(num_classes, num_bins, from_logits, name)

    def result(self):
        # sqrt(2) times the inverse normal cdf, sqrt(2) erfinv(2 p - 1).
        return 2.0 * ops.erfinv(2.0 * super().result() - 1.0)
