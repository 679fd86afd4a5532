"""The losses of the paper, as pure functions of arrays, and that of a classifier.

Those of the paper are means over the global batch. Under `tf.distribute` a replica
returns its part scaled by the number of replicas, so that the mean over the
replicas is the loss of the whole batch, whatever the parts weigh.
"""

import keras
from keras import ops

from keras_asit import replicas

_MAX_LOAD = 10.0  # bounds the correction of a batch


def weighted_mean(values, weights, total=None):
    """`sum(weights * values) / sum(weights)` over the global batch, in float32.

    Args:
        values: Any shape.
        weights: Same shape, non-negative. Where they sum to less than 1 (no
            pixel was changed) the mean is 0 rather than undefined.
        total: The sum of the weights of the global batch, where `weights` are those of
            a part of it: the means of all parts then add up to that of the whole.
    """
    values, weights = ops.cast(values, "float32"), ops.cast(weights, "float32")
    if total is None:
        total = replicas.sum_over_replicas(ops.sum(weights))
    return replicas.count() * ops.sum(weights * values) / ops.maximum(total, 1.0)


def reconstruction_loss(clean, reconstruction, mask, total=None):
    """Mean absolute error over the changed pixels (Equations 1 and 2).

    Args:
        clean: Spectrograms `(..., T, F)`.
        reconstruction: Same shape.
        mask: Same shape, 1 where a pixel was changed.
        total: As of `weighted_mean`.

    Returns:
        A scalar, in the units of the normalised spectrogram.
    """
    error = ops.cast(clean, "float32") - ops.cast(reconstruction, "float32")
    return weighted_mean(ops.abs(error), mask, total)


def pseudo_labels(teacher_logits, center, teacher_temperature):
    """What the teacher says of each token: `p_t = softmax((t - c) / tau_t)`.

    Equation 4, the centred and sharpened distribution. Always float32.

    Args:
        teacher_logits: `(..., K)`.
        center: `(K,)`.
        teacher_temperature: tau_t, 0.04 to 0.07 in the paper.

    Returns:
        The distributions `(..., K)` and their entropies `(...)`, in nats.
    """
    logits = (ops.cast(teacher_logits, "float32") - center) / teacher_temperature
    log_sum = ops.logsumexp(logits, axis=-1, keepdims=True)
    labels = ops.exp(logits - log_sum)
    return labels, log_sum[..., 0] - ops.sum(labels * logits, axis=-1)


def cross_entropy(labels, student_logits, student_temperature):
    """`H = -sum(p_t log p_s)` with `p_s = softmax(s / tau_s)` (Equations 3, 5 and 6).

    Args:
        labels: Distributions `(..., K)`.
        student_logits: `(..., K)`.
        student_temperature: tau_s, 0.1 in the paper.

    Returns:
        `(...)`: one cross-entropy a token, in nats, float32.
    """
    student = ops.cast(student_logits, "float32") / student_temperature
    expected = ops.sum(labels * student, axis=-1)
    return ops.logsumexp(student, axis=-1) - expected


def mean_center(center, mean_logits, momentum=0.9):
    """`c <- 0.9 c + 0.1 mean(t)`, the paper's centre.

    Args:
        center: `(K,)`, in the units of the logits.
        mean_logits: `(K,)`: the teacher's logits, averaged over all tokens and views of
            the global batch.
        momentum: Share of the old centre that stays.

    Returns:
        `(K,)`, float32.
    """
    return momentum * center + (1 - momentum) * mean_logits


def balanced_center(center, mean_labels, teacher_temperature, momentum=0.9):
    """`c <- c + (1 - 0.9) tau_t (l - mean(l))`, with `l = min(K u, 10)` the load.

    Not the paper's. `u = mean(softmax((t - c) / tau_t))`, over all tokens and views
    of the global batch, is how much of the batch each pseudo-class gets; `K u` is 1
    where all get the same. The centre of a pseudo-class that the teacher names too
    often rises, that of one it forgets falls, until all are named alike. The paper's
    centre leaves a teacher free to name a few of them for good.

    The centre moves by the batch at hand: a batch should have about as many tokens
    as there are pseudo-classes, or more.

    Args:
        center: `(K,)`, in the units of the logits.
        mean_labels: u, `(K,)`.
        teacher_temperature: tau_t.
        momentum: 1 less the rate of the correction.

    Returns:
        `(K,)`, float32.

    Reference:
        After Wang et al., Auxiliary-Loss-Free Load Balancing Strategy for
        Mixture-of-Experts, 2024, where a bias corrects the load of experts.
    """
    load = ops.minimum(mean_labels * mean_labels.shape[-1], _MAX_LOAD)
    step = (1 - momentum) * teacher_temperature
    return center + step * (load - ops.mean(load))


@keras.saving.register_keras_serializable("keras_asit")
class ClassCrossentropy(keras.losses.Loss):
    """Cross-entropy of logits `(B, C)`, with class numbers or mixed labels as targets.

    Keras has a loss for either. Clips that mixup mixed have a distribution over the
    classes, those of evaluation a number.

    Args:
        label_smoothing: Share of each target that is spread over all classes.

    Input shape:
        Targets `(B,)` or `(B, 1)`, integers, or `(B, C)`, floats; logits `(B, C)`.
    """

    def __init__(self, label_smoothing=0.0, name="class_crossentropy", **kwargs):
        super().__init__(name=name, **kwargs)
        if not 0 <= label_smoothing < 1:
            raise ValueError(
                f"label_smoothing is in [0, 1); received {label_smoothing!r}."
            )
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        if self.label_smoothing:
            y_true = self._smoothed(y_true, y_pred)
        if is_distribution(y_true, y_pred):
            return ops.categorical_crossentropy(y_true, y_pred, from_logits=True)
        classes = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        return ops.sparse_categorical_crossentropy(classes, y_pred, from_logits=True)

    def _smoothed(self, y_true, y_pred):
        number = y_pred.shape[-1]
        if not is_distribution(y_true, y_pred):
            classes = ops.cast(ops.reshape(y_true, (-1,)), "int32")
            y_true = ops.one_hot(classes, number, dtype="float32")
        keep = 1.0 - self.label_smoothing
        return keep * ops.cast(y_true, "float32") + self.label_smoothing / number

    def get_config(self):
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


@keras.saving.register_keras_serializable("keras_asit")
def class_accuracy(y_true, y_pred):
    """1 where the likeliest class is that of the target, `(B,)`; targets as above."""
    if is_distribution(y_true, y_pred):
        classes = ops.argmax(y_true, axis=-1)
    else:
        classes = ops.reshape(y_true, (-1,))
    right = ops.equal(ops.cast(classes, "int32"), ops.argmax(y_pred, axis=-1))
    return ops.cast(right, "float32")


@keras.saving.register_keras_serializable("keras_asit")
def multi_label_accuracy(y_true, y_pred):
    """Share of the classes that are told right, `(B,)`, of logits `(B, C)`.

    A class of a target that mixup made counts as present from one half on, where
    `keras.metrics.BinaryAccuracy` calls every prediction for it wrong.
    """
    right = ops.equal(ops.cast(y_true, "float32") >= 0.5, y_pred > 0)
    return ops.mean(ops.cast(right, "float32"), axis=-1)


def is_distribution(y_true, y_pred):
    """Whether targets have a number for each class rather than the class's number."""
    same_rank = len(y_true.shape) == len(y_pred.shape)
    return same_rank and y_true.shape[-1] == y_pred.shape[-1] > 1
