"""Learning rates by depth: early layers of a pretrained backbone move less."""

import re


def layer_scales(paths, layer_decay):
    """Factors of the learning rate by depth.

    Args:
        paths: Paths of an `ASiTClassifier`'s variables: those of block i have a part
            `block_i`, those of the patch embedding `patch_embedding`; the final norm
            and the head come after the last block.
        layer_decay: Factor from each layer to the one before.

    Returns:
        A list of floats: `layer_decay ** (layers above)`, 1 for the head.
    """
    depths = [_depth(path) for path in paths]
    above = 1 + max((depth for depth in depths if depth is not None), default=0)
    return [layer_decay ** (above - (above if d is None else d)) for d in depths]


def _depth(path):
    """0 for the patch embedding, `i + 1` for block i, None for what follows."""
    parts = path.split("/")
    if "patch_embedding" in parts:
        return 0
    blocks = [re.fullmatch(r"block_(\d+)", part) for part in parts]
    numbers = [int(match[1]) for match in blocks if match]
    return numbers[0] + 1 if numbers else None
