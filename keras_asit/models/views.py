"""The views of a clip: merged for one pass, crossed for the global loss."""

from keras import ops

from keras_asit.models.shapes import RETRACED, known_shape


def merge_views(x):
    """`(B, V, T, F)` -> `(B V, T, F)`: both views go through one pass."""
    return ops.reshape(x, (-1, *x.shape[2:]))


def crossed_views(teacher, student, num_views):
    """Pairs of different views of one clip, for the global loss.

    Args:
        teacher: `(B V, K)`, of clean views.
        student: `(B V N, K)`, of N corrupted views of each clean one.
        num_views: V.

    Returns:
        `(B, V (V - 1), 1, K)` and `(B, V (V - 1), N, K)`.
    """
    teacher = ops.reshape(teacher, (-1, num_views, 1, teacher.shape[-1]))
    rows = ops.shape(teacher)[0], num_views, -1, student.shape[-1]
    student = ops.reshape(student, rows)
    pairs = [(t, s) for t in range(num_views) for s in range(num_views) if t != s]
    return (
        ops.stack([teacher[:, t] for t, _ in pairs], axis=1),
        ops.stack([student[:, s] for _, s in pairs], axis=1),
    )


def check_views(views, backbone, crossed):
    """Refuses what is neither clean views nor waveforms of a backbone.

    Args:
        views: What the pretrainer was given.
        backbone: The student.
        crossed: Whether views of one clip are compared, which needs two.

    Raises:
        ValueError: If the shape is wrong.
    """
    frames, bins = backbone.num_frames, backbone.num_mel_bins
    expected = (
        f"clean views (B, V, {frames}, {bins}) or waveforms (B, V, samples) at "
        f"{backbone.frontend.sample_rate} Hz"
    )
    shape = known_shape(views, expected)
    received = f"received {shape}."
    if None in shape[1:]:
        received += f" (None: {RETRACED} size. Call compile() before you change it.)"
    if len(shape) == 3 and shape[2] == bins:
        raise ValueError(
            f"Expected {expected}; {received} These are features (B, T, F) without "
            "the axis of the views: stack two views of each clip along axis 1."
        )
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[2:] != (frames, bins)):
        raise ValueError(
            f"Expected {expected}; {received} keras_asit.data.pretraining_dataset "
            "makes them."
        )
    if crossed and (shape[1] is None or shape[1] < 2):
        raise ValueError(
            "The global loss compares different views of a clip and needs V >= 2; "
            f"{received} Give two views or set global_weight=0."
        )
