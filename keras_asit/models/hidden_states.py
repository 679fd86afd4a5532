"""What a backbone's blocks pass on to each other."""

from keras import ops

from keras_asit.models.shapes import checked_shape


def hidden_states(backbone, features, training=False):
    """The patch embedding's output and that of every block.

    Layers tell different things: who speaks is read best from other blocks than what is
    heard (SUPERB). The final norm is left out: it is after the blocks, and
    `backbone.norm` of the last state is the backbone's output.

    Args:
        backbone: An `ASiTBackbone`.
        features: `(B, T, F)`.
        training: Whether branches are dropped at random (`drop_path`).

    Returns:
        A list of `num_layers + 1` tensors `(B, 1 + P, D)`, of the backbone's compute
        dtype.

    Raises:
        ValueError: If the features have another shape.

    Example:

    >>> states = hidden_states(backbone, features)
    >>> len(states), tuple(states[-1].shape)
    (2, (4, 5, 16))

    Reference:
        `hidden_states` of transformers' `ViTModel`: the same.
    """
    checked_shape(features, backbone)
    states = [backbone.embedding(ops.cast(features, backbone.compute_dtype))]
    for block in backbone.blocks:
        states.append(block(states[-1], training=training))
    return states
