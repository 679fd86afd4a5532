"""The vital signs of a training step, measured inside it.

What tells a sick run from a healthy one: the gradient's norm, how far the teacher is
from the student, how much the features of clips differ, and how surely and how evenly
the teacher names the pseudo-classes. `callbacks.Doctor` reads and judges them.
"""

from keras import ops

OF_ALL = ("clips", "gradient_norm", "teacher_distance", "feature_std", "feature_rank")
OF_HEADS = ("loss", "entropy", "usage", "center_norm")


def names(heads):
    """The vital signs in their order.

    Args:
        heads: Names of the pseudo-label losses that are on.

    Returns:
        A list: those of the whole, and `local_entropy` and the like for each head.

        - `clips`: clips of the batch, over all replicas.
        - `gradient_norm`: Euclidean norm of the whole gradient, before clipping.
        - `teacher_distance`: `|theta_s - theta_t| / |theta_t|`.
        - `feature_std`: deviation of a feature over the clips of the batch, root mean
          square over the features. A clip's features are the mean of its data tokens.
        - `feature_rank`: in how many directions they vary, see `spread`.
        - `..._loss`: the loss of the head, in nats.
        - `..._entropy`: mean entropy of the teacher's labels, in nats: 0 where each
          token gets one pseudo-class for sure, log K where it gets all alike.
        - `..._usage`: entropy of the mean label, in nats: near 0 where all tokens get
          the same pseudo-class.
        - `..._center_norm`: Euclidean norm of the centre.
    """
    return [*OF_ALL, *(f"{head}_{name}" for head in heads for name in OF_HEADS)]


def moments(tokens):
    """Sums over clips that `spread` is of.

    Args:
        tokens: `(N, 1 + P, D)`, class token first.

    Returns:
        A dict of float32 sums: of the rows, of their squares and of their outer
        products, their number.
    """
    rows = ops.mean(ops.cast(tokens[:, 1:], "float32"), axis=1)
    return {
        "rows": ops.sum(rows, axis=0),
        # Apart from the products, which a GPU may take in TF32.
        "squares": ops.sum(ops.square(rows), axis=0),
        "products": ops.matmul(ops.transpose(rows), rows),
        "number": ops.cast(ops.shape(rows)[0], "float32"),
    }


def empty_moments(width):
    """`moments` of no clips."""
    return {
        "rows": ops.zeros((width,), "float32"),
        "squares": ops.zeros((width,), "float32"),
        "products": ops.zeros((width, width), "float32"),
        "number": ops.zeros((), "float32"),
    }


def spread(moments):
    """Deviation and effective rank of features, from the sums of `moments`.

    The rank is the participation ratio `tr(C)^2 / tr(C^2)` of the covariance C: 1 where
    all clips lie on a line, D where they vary alike in all directions, and never above
    the number of rows less 1.

    Returns:
        Two scalars.
    """
    mean = moments["rows"] / moments["number"]
    covariance = moments["products"] / moments["number"] - ops.outer(mean, mean)
    variances = moments["squares"] / moments["number"] - ops.square(mean)
    trace = ops.maximum(ops.sum(variances), 0.0)
    rank = ops.square(trace) / ops.maximum(ops.sum(ops.square(covariance)), 1e-20)
    return ops.sqrt(trace / mean.shape[0]), rank


def of_step(parts, statistics, centers):
    """The vital signs of features and heads in a step, by name.

    Args:
        parts: Losses of the batch.
        statistics: Of `objective.forward`, of the global batch.
        centers: Centres by head.
    """
    deviation, rank = spread(statistics["features"])
    signs = {"feature_std": deviation, "feature_rank": rank}
    for head, center in centers.items():
        sums = statistics[head]
        signs[f"{head}_loss"] = parts[head]
        signs[f"{head}_entropy"] = sums["entropy"] / sums["number"]
        signs[f"{head}_usage"] = entropy(sums["labels"] / sums["number"])
        signs[f"{head}_center_norm"] = ops.norm(ops.convert_to_tensor(center))
    return signs


def entropy(probabilities):
    """`-sum(p log p)` over the last axis, in nats."""
    safe = ops.maximum(probabilities, 1e-30)
    return -ops.sum(probabilities * ops.log(safe), axis=-1)
