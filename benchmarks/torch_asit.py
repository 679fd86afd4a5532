"""The peer: the same training step in plain PyTorch.

Networks of `torch.nn` parts and `scaled_dot_product_attention`, the losses, the
centres and the EMA teacher of the `reference` profile, AdamW (fused) with each
parameter's gradient clipped. Eager, or with the losses (all of the forward and
the backward pass) under `torch.compile`; bfloat16 by autocast. Where PyTorch
has a faster way to write the same thing, that one is taken: patches through a
linear layer rather than a convolution, clipping and teacher update by `foreach`
calls, and no wait for the GPU in a step.

The corruption is of the same kind, not the same: 48 blocks in place of a union
that reaches a target (0.4 % of the step in keras_asit by README.md's figures, less
here).
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

BLOCKS = 48


class Block(nn.Module):
    """A pre-norm transformer block with stochastic depth."""

    def __init__(self, width, heads, mlp, drop_path):
        super().__init__()
        self.heads, self.drop_path = heads, drop_path
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.Sequential(
            nn.Linear(width, mlp), nn.GELU(), nn.Linear(mlp, width)
        )

    def attention(self, x):
        batch, length, width = x.shape
        qkv = self.qkv(x).reshape(batch, length, 3, self.heads, width // self.heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(query, key, value)
        return self.out(mixed.transpose(1, 2).reshape(batch, length, width))

    def drop(self, branch):
        if not self.training or not self.drop_path:
            return branch
        draws = torch.rand(len(branch), 1, 1, device=branch.device)
        keep = (draws >= self.drop_path).to(branch.dtype)
        return branch * (keep / (1 - self.drop_path))

    def forward(self, x):
        x = x + self.drop(self.attention(self.norm1(x)))
        return x + self.drop(self.mlp(self.norm2(x)))


class Backbone(nn.Module):
    """A vision transformer over spectrograms `(B, T, F)`."""

    def __init__(self, network, drop_path):
        super().__init__()
        width, self.patch = network.hidden, network.patch
        self.embed = nn.Linear(network.patch**2, width)
        self.cls = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.positions = nn.Parameter(0.02 * torch.randn(1, 1 + network.patches, width))
        rates = torch.linspace(0, drop_path, network.layers).tolist()
        self.blocks = nn.Sequential(
            *(Block(width, network.heads, network.mlp, rate) for rate in rates)
        )
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, x):
        tokens = self.embed(patchify(x, self.patch))
        tokens = torch.cat([self.cls.expand(len(x), -1, -1), tokens], dim=1)
        return self.norm(self.blocks(tokens + self.positions))


def patchify(x, patch):
    batch, frames, bins = x.shape
    x = x.reshape(batch, frames // patch, patch, bins // patch, patch)
    return x.transpose(2, 3).reshape(batch, -1, patch**2)


def mlp(*widths, last_gelu=False):
    layers = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.GELU()]
    return nn.Sequential(*(layers if last_gelu else layers[:-1]))


class Branch(nn.Module):
    """Backbone and the projection heads, as student and teacher both have them."""

    def __init__(self, network, drop_path):
        super().__init__()
        self.backbone = Backbone(network, drop_path)
        self.mlp = mlp(network.hidden, *network.projection)
        bottleneck = network.projection[-1]
        self.local = nn.Parameter(0.02 * torch.randn(network.local_dim, bottleneck))
        self.glob = nn.Parameter(0.02 * torch.randn(network.global_dim, bottleneck))

    def logits(self, tokens):
        hidden = functional.normalize(self.mlp(tokens), dim=-1)
        local = functional.linear(hidden[:, 1:], functional.normalize(self.local))
        return local, functional.linear(hidden[:, 0], functional.normalize(self.glob))

    def forward(self, x):
        tokens = self.backbone(x)
        return tokens, *self.logits(tokens)


def cross_entropy(teacher, student, center):
    target = torch.softmax((teacher - center) / 0.04, dim=-1)
    return -(target * torch.log_softmax(student / 0.1, dim=-1)).sum(-1).mean()


def corrupt(clean):
    """Corrupted rows `(N, T, F)` and the mask: rectangles of zeros or alien content."""
    rows, frames, bins = clean.shape
    device = clean.device
    corner, side = torch.rand(2, rows, BLOCKS, 2, device=device)
    inside = []
    for axis, size in enumerate((frames, bins)):
        first = (corner[..., axis, None] * size).floor()
        last = first + (side[..., axis, None] * 0.3 * size).ceil()
        position = torch.arange(size, device=device)
        inside.append(((position >= first) & (position < last)).float())
    mask = (inside[0].transpose(1, 2) @ inside[1] > 0).float()
    alien = (torch.rand(rows, 1, 1, device=device) < 0.5).float()
    donated = clean[torch.randint(rows, (rows,), device=device)]
    return torch.where(mask > 0, alien * donated, clean), mask


def clip_each(parameters, norm):
    """Clips the gradient of each parameter by itself, without a wait for a GPU."""
    gradients = [parameter.grad for parameter in parameters]
    norms = torch.stack(torch._foreach_norm(gradients))
    factors = torch.clamp(norm / (norms + 1e-6), max=1.0)
    torch._foreach_mul_(gradients, list(factors.unbind()))


class Pretraining:
    """Student, teacher, losses and optimiser; `step(views)` is one training step.

    Args:
        network: A `benchmarks.networks.Network`.
        drop_path: Stochastic depth of the last block.
        momentum: Of the teacher.
        device: A `torch.device`.
        half: Dtype of autocast; None for none.
        compiled: Whether the losses go through `torch.compile`.
    """

    def __init__(
        self,
        network,
        drop_path=0.1,
        momentum=0.996,
        device=None,
        half=None,
        compiled=False,
    ):
        self.device, self.half = torch.device(device or "cpu"), half
        self.loss_of = torch.compile(self.loss) if compiled else self.loss
        self.momentum, self.patch = momentum, network.patch
        self.student = Branch(network, drop_path)
        widths = (network.hidden, *network.reconstruction)
        self.reconstruction = mlp(*widths, last_gelu=True)
        self.to_patch = nn.Linear(widths[-1], network.patch**2)
        self.teacher = Branch(network, 0.0).requires_grad_(False).eval()
        self.teacher.load_state_dict(self.student.state_dict())
        self.centers = [
            torch.zeros(network.local_dim, device=self.device),
            torch.zeros(network.global_dim, device=self.device),
        ]
        parts = nn.ModuleList([self.student, self.reconstruction, self.to_patch])
        parts.to(self.device)
        self.teacher.to(self.device)
        self.parameters = list(parts.parameters())
        matrices = [p for p in self.parameters if p.ndim > 1]
        vectors = [p for p in self.parameters if p.ndim == 1]
        groups = [
            {"params": matrices, "weight_decay": 0.04},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=1e-4, fused=True)

    def loss(self, views):
        with torch.autocast(self.device.type, self.half, self.half is not None):
            return self._loss(views)

    def _loss(self, views):
        clean = views.flatten(0, 1)
        corrupted, mask = corrupt(clean)
        tokens, *student = self.student(corrupted)
        painted = self.to_patch(self.reconstruction(tokens[:, 1:]))
        changed = patchify(mask, self.patch)
        error = (painted - patchify(clean, self.patch)).abs() * changed
        with torch.no_grad():
            _, *teacher = self.teacher(clean)
            crossed = teacher[1].unflatten(0, views.shape[:2]).flip(1).flatten(0, 1)
        local = cross_entropy(teacher[0], student[0], self.centers[0])
        glob = cross_entropy(crossed, student[1], self.centers[1])
        for center, logits in zip(self.centers, teacher):
            center.lerp_(logits.flatten(0, -2).mean(0, dtype=center.dtype), 0.1)
        return 2 * error.sum() / changed.sum() + local + glob

    def step(self, views):
        """One step on clean views `(B, 2, T, F)`; returns the loss, a tensor."""
        self.optimizer.zero_grad()
        loss = self.loss_of(views)
        loss.backward()
        clip_each(self.parameters, 3.0)
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.teacher.parameters()),
                list(self.student.parameters()),
                1 - self.momentum,
            )
        return loss.detach()
