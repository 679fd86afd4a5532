"""The networks of the benchmarks, and how much arithmetic a training step is."""

import math
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Network:
    """Sizes of a backbone and of the heads of the `reference` profile."""

    frames: int = 592
    mel_bins: int = 128
    patch: int = 16
    hidden: int = 384
    layers: int = 12
    heads: int = 6
    mlp: int = 1536
    projection: tuple = (2048, 2048, 256)
    local_dim: int = 1024
    global_dim: int = 8192
    reconstruction: tuple = (768, 768, 128)

    @property
    def patches(self):
        return (self.frames // self.patch) * (self.mel_bins // self.patch)

    @property
    def tokens(self):
        return self.patches + 1  # the class token


NETWORKS = {
    "tiny": Network(hidden=192, heads=3, mlp=768),
    "small": Network(),
    "base": Network(hidden=768, heads=12, mlp=3072),
    # For tests: everything is there, nothing takes time.
    "toy": Network(
        frames=32,
        mel_bins=32,
        hidden=16,
        layers=1,
        heads=2,
        mlp=32,
        projection=(32, 32, 16),
        local_dim=24,
        global_dim=40,
        reconstruction=(24, 24, 16),
    ),
}
VIEWS = 2
FRAME_LENGTH_MS, FRAME_SHIFT_MS = 25.0, 10.0


def frames_of(seconds, patch=16):
    """Frames of a clip, whole patches of those that lie inside: 592 of 6 s."""
    milliseconds = 1000 * seconds - FRAME_LENGTH_MS
    frames = 1 + math.floor(round(milliseconds / FRAME_SHIFT_MS, 6))
    return max(frames, 0) // patch * patch


def products(*widths):
    """FLOPs of dense layers of these widths for one token, 2 per weight."""
    return sum(2 * a * b for a, b in pairwise(widths))


def backbone_flops(network):
    """Forward FLOPs of the backbone for one view.

    A block has 4 products of D x D (q, k, v, output) and 2 of D x mlp for each
    of the N tokens, and the products `q k'` and `weights v` of 2 N D each.
    """
    width, tokens = network.hidden, network.patches + 1
    dense = 4 * products(width, width) + products(width, network.mlp, width)
    attention = 2 * (2 * tokens * width)
    embedding = network.patches * products(network.patch**2, width)
    return embedding + network.layers * tokens * (dense + attention)


def projection_flops(network):
    """Forward FLOPs of the shared MLP and of the local and global prototypes."""
    bottleneck = network.projection[-1]
    mlp = products(network.hidden, *network.projection)
    local = network.patches * (mlp + products(bottleneck, network.local_dim))
    return local + mlp + products(bottleneck, network.global_dim)


def reconstruction_flops(network):
    """Forward FLOPs of the reconstruction head, transposed convolution included."""
    widths = (network.hidden, *network.reconstruction, network.patch**2)
    return network.patches * products(*widths)


def step_flops(network):
    """FLOPs of one training step for one clip of two views.

    Matrix products only, a multiplication and an addition counted as two. The
    student's forward pass counts three times (the backward pass is two products
    for each one), the teacher's once; it has no reconstruction head. What is not
    a matrix product (softmax, GELU, norms, corruption, optimiser, the teacher's
    update) is not counted: it is time that the step loses.
    """
    seen_by_both = backbone_flops(network) + projection_flops(network)
    student = 3 * (seen_by_both + reconstruction_flops(network))
    return VIEWS * (student + seen_by_both)
