"""What pretraining optimises: from clean views to the three losses (Figure 1).

The forward pass of an `ASiTPretrainer`, in the steps that `training_step` takes: what
has no gradient, then the networks and the losses of a batch or of a part of one, then
the centres.
"""

from keras import ops

from keras_asit import losses, replicas
from keras_asit.layers.patch_embedding import patchify
from keras_asit.models import vitals
from keras_asit.models.views import crossed_views, merge_views


def prepare(model, views, training=False):
    """What student and teacher see of a batch; nothing here has a gradient.

    Args:
        model: The pretrainer.
        views: As for `fit`.
        training: Whether views are resized and filtered at random.

    Returns:
        A dict of float32: `clean` views `(B, V, T, F)`; `corrupted` ones and their
        `mask` `(B, V N, T, F)`, with N `student_views`; and `changed`
        `(B, V N, P)`, 1 for the tokens that the local loss is taken over.
    """
    clean = model.random_resized_crop(model.features(views), training=training)
    clean = model.random_filter(clean, training=training)
    copies = model.options["student_views"]
    repeated = ops.repeat(clean, copies, axis=1) if copies > 1 else clean
    corrupted, mask = (ops.cast(x, "float32") for x in model.corrupt(repeated))
    changed = local_weights(model, merge_views(mask))
    changed = ops.reshape(changed, (-1, mask.shape[1], changed.shape[-1]))
    return {
        "clean": clean, "corrupted": corrupted, "mask": mask, "changed": changed,
    }  # fmt: skip


def totals(model, batch):
    """What each loss is divided by: its weights, summed over the global batch."""
    num_views = batch["clean"].shape[1]
    pairs = ops.shape(batch["mask"])[0] * batch["mask"].shape[1] * (num_views - 1)
    sums = {
        "reconstruction": ops.sum(batch["mask"]),
        "local": ops.sum(batch["changed"]),
        "global": ops.cast(pairs, "float32"),
    }
    return replicas.sum_over_replicas({part: sums[part] for part in model.parts})


def forward(model, batch, totals, training=False):
    """The losses of a batch or of a part of one, and sums over its tokens.

    Args:
        model: The pretrainer.
        batch: Of `prepare`, or a part of its clips.
        totals: Of the whole batch.
        training: Whether stochastic depth is on.

    Returns:
        The losses, a dict of scalars; of parts of a batch they add up. And a dict
        of sums for each head, for its centre and the doctor, and of `features`.
    """
    num_views = batch["clean"].shape[1]
    names = ("clean", "corrupted", "mask", "changed")
    clean, corrupted, mask, changed = (merge_views(batch[name]) for name in names)
    seen = model.student(corrupted, training=training)
    parts, target = {}, seen
    if "reconstruction" in model.parts:
        copies = model.options["student_views"]
        parts["reconstruction"] = losses.reconstruction_loss(
            ops.repeat(clean, copies, axis=0) if copies > 1 else clean,
            model.reconstruction_head(seen[:, 1:]),
            mask,
            totals["reconstruction"],
        )
    if model.student_heads:
        target = model.teacher(clean, training=False)
    target = ops.stop_gradient(target)
    statistics = {"features": vitals.moments(target)}
    if "local" in model.parts:
        parts["local"], statistics["local"] = _local_loss(
            model, target[:, 1:], seen[:, 1:], changed, totals["local"]
        )
    if "global" in model.parts:
        parts["global"], statistics["global"] = _global_loss(
            model, target[:, 0], seen[:, 0], num_views, totals["global"]
        )
    return parts, statistics


def local_weights(model, mask):
    """1 for the tokens that the local loss is taken over, `(B V, P)`."""
    share = ops.mean(
        ops.cast(patchify(mask, model.student.patch_size), "float32"), axis=-1
    )
    if model.options["local_loss_on"] == "all":
        return ops.ones_like(share)
    return ops.cast(share > model.options["changed_threshold"], "float32")


def _local_loss(model, target, seen, changed, total):
    """Data tokens, the same view (Equation 5)."""
    labels, logits, sums = _labels_and_logits(model, "local", target, seen)
    shape = (-1, model.options["student_views"], *labels.shape[1:])
    entropy = losses.cross_entropy(
        labels[:, None],
        ops.reshape(logits, shape),
        model.options["student_temperature"],
    )
    changed = ops.reshape(changed, ops.shape(entropy))
    return losses.weighted_mean(entropy, changed, total), sums


def _global_loss(model, target, seen, num_views, total):
    """Class tokens, different views of a clip (Equation 6)."""
    labels, logits, sums = _labels_and_logits(model, "global", target, seen)
    entropy = losses.cross_entropy(
        *crossed_views(labels, logits, num_views),
        model.options["student_temperature"],
    )
    return losses.weighted_mean(entropy, ops.ones_like(entropy), total), sums


def _labels_and_logits(model, part, target, seen):
    """The teacher's labels, the student's logits, and sums over the labels."""
    thaw = ops.cast(model.steps_done >= model.options["freeze_output_steps"], "float32")
    student_logits = model.student_heads[part](seen, thaw=thaw)
    teacher_logits = ops.stop_gradient(model.teacher_heads[part](target))
    center = ops.convert_to_tensor(model.centers[part])
    temperature = ops.convert_to_tensor(model.teacher_temperature)
    labels, entropy = losses.pseudo_labels(teacher_logits, center, temperature)
    axes = tuple(range(len(labels.shape) - 1))
    sums = {
        "logits": ops.sum(ops.cast(teacher_logits, "float32"), axis=axes),
        "labels": ops.sum(labels, axis=axes),
        "entropy": ops.sum(entropy),
        "number": ops.cast(ops.size(entropy), "float32"),
    }
    return labels, student_logits, sums


def move_centers(model, statistics, moves=True):
    """The centres follow a batch, after they were used in its loss.

    Args:
        model: The pretrainer.
        statistics: Of `forward`, of the global batch.
        moves: Whether they do.
    """
    momentum = model.options["center_momentum"]
    for part, variable in model.centers.items():
        sums, center = statistics[part], ops.convert_to_tensor(variable)
        if model.options["centering"] == "balanced":
            temperature = ops.convert_to_tensor(model.teacher_temperature)
            labels = sums["labels"] / sums["number"]
            new = losses.balanced_center(center, labels, temperature, momentum)
        else:
            logits = sums["logits"] / sums["number"]
            new = losses.mean_center(center, logits, momentum)
        variable.assign(ops.where(moves, new, center))


def empty_sums(model):
    """What `forward` gives, of no clips: all zeros."""

    def zeros(*shape):
        return ops.zeros(shape, "float32")

    statistics = {"features": vitals.empty_moments(model.student.hidden_dim)}
    for part in model.student_heads:
        size = model.options[f"{part}_dim"]
        statistics[part] = {
            "logits": zeros(size), "labels": zeros(size),
            "entropy": zeros(), "number": zeros(),
        }  # fmt: skip
    parts = {part: zeros() for part in model.parts}
    return {"parts": parts, "statistics": statistics}
