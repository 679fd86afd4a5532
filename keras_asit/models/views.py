"""The views of a clip: merged for one pass, crossed for the global loss."""

from keras import ops


def merge_views(x):
    """`(B, V, T, F)` -> `(B V, T, F)`: both views go through one pass."""
    return ops.reshape(x, (-1, *x.shape[2:]))


def crossed_views(teacher, student, num_views):
    """Pairs of different views of one clip: `(B V, K)` -> `(B, V (V - 1), K)`."""
    teacher = ops.reshape(teacher, (-1, num_views, teacher.shape[-1]))
    student = ops.reshape(student, (-1, num_views, student.shape[-1]))
    pairs = [(t, s) for t in range(num_views) for s in range(num_views) if t != s]
    return (
        ops.stack([teacher[:, t] for t, _ in pairs], axis=1),
        ops.stack([student[:, s] for _, s in pairs], axis=1),
    )


def check_views(views, backbone, crossed):
    shape = tuple(views.shape)
    expected = (backbone.num_frames, backbone.num_mel_bins)
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[2:] != expected):
        raise ValueError(
            f"Expected clean views (B, V, {expected[0]}, {expected[1]}) or waveforms "
            f"(B, V, samples) at {backbone.frontend.sample_rate} Hz; received "
            f"{shape}. keras_asit.data.pretraining_dataset makes them."
        )
    if crossed and (shape[1] is None or shape[1] < 2):
        raise ValueError(
            "The global loss compares different views of a clip and needs V >= 2; "
            f"received {shape}. Give two views or set global_weight=0."
        )
