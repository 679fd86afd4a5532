"""The benchmarks run, and their arithmetic is right; no timing is judged."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from benchmarks import machine
from benchmarks.networks import NETWORKS, Network, step_flops
from benchmarks.train_step import summary
from keras_asit.models import ASiTBackbone

ROOT = Path(__file__).resolve().parent.parent
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="needs PyTorch, the peer"
)


def run(*arguments):
    """Runs a benchmark as its documentation says and returns what it printed."""
    command = [sys.executable, "-m", *arguments]
    result = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=280
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def test_vit_small_takes_145_gflop_a_clip():
    assert step_flops(NETWORKS["small"]) / 1e9 == pytest.approx(145, rel=0.01)


def test_flops_by_hand():
    network = Network(
        frames=2,
        mel_bins=1,
        patch=1,
        hidden=3,
        layers=1,
        heads=1,
        mlp=5,
        projection=(7, 2),
        local_dim=4,
        global_dim=6,
        reconstruction=(2,),
    )
    block = 3 * (4 * 18 + 2 * 30 + 2 * (2 * 3 * 3))  # 3 tokens, class token included
    backbone = 2 * 2 * 3 + block
    heads = 3 * (42 + 28) + 2 * 16 + 24
    reconstruction = 2 * (12 + 4)
    expected = 2 * (3 * (backbone + heads + reconstruction) + backbone + heads)
    assert step_flops(network) == expected


def test_ratios_are_taken_within_a_round():
    def answers(*seconds):
        return [{"seconds": s, "cpu_seconds": s, "rss_gb": 1.0} for s in seconds]

    rows = summary(
        {"torch": answers(1.0, 4.0, 2.0), "jax": answers(2.0, 4.0, 1.0)},
        {"torch": {"seconds": 1.0}, "jax": {"seconds": 9.0}},
        rates={"torch": [5.0, 5.0, 10.0], "jax": [10.0, 10.0, 5.0]},
        steps=1,
        batch=2,
        flops=1e9,
    )
    assert rows["torch"]["ratio_to_torch"] == 1.0
    assert rows["jax"]["ratios"] == [0.5, 1.0, 2.0]
    assert rows["jax"]["ratio_to_torch"] == 1.0
    assert rows["jax"]["clips_per_second"] == 1.0
    assert rows["jax"]["share_of_matrix_rate"] == pytest.approx(0.1)
    assert rows["jax"]["first_step_seconds"] == 9.0


def test_matrix_rate_is_a_rate():
    calls = []
    rate = machine.matrix_rate(
        lambda a: lambda: calls.append(a @ a), side=16, repetitions=2
    )
    assert np.isfinite(rate)
    assert rate > 0
    assert len(calls) == 3
    assert calls[0].dtype == np.float32


@needs_torch
def test_the_peer_is_the_same_network():
    from benchmarks.torch_asit import Backbone

    network = NETWORKS["toy"]
    ours = ASiTBackbone(
        (network.frames, network.mel_bins),
        network.patch,
        network.hidden,
        network.layers,
        network.heads,
        network.mlp,
    )
    theirs = Backbone(network, 0.1)
    assert sum(p.numel() for p in theirs.parameters()) == ours.count_params()


@needs_torch
def test_the_peer_learns():
    import torch

    from benchmarks.torch_asit import Pretraining

    torch.manual_seed(0)
    views = torch.randn(2, 2, 32, 32)
    pretraining = Pretraining(NETWORKS["toy"])
    before = [p.clone() for p in pretraining.teacher.parameters()]
    losses = [pretraining.step(views) for _ in range(20)]
    assert np.all(np.isfinite(losses))
    after = pretraining.teacher.parameters()
    assert all(not torch.equal(a, b) for a, b in zip(before, after))


@needs_torch
def test_train_step_runs_for_a_moment(tmp_path):
    out = tmp_path / "result.json"
    backend = keras.backend.backend()
    arguments = ["--tiny", "--batch", "2", "--rounds", "2", "--steps", "1"]
    printed = run(
        "benchmarks.train_step", *arguments, "--backends", backend, "--out", str(out)
    )
    result = json.loads(out.read_text())
    assert set(result["frameworks"]) == {"torch", backend}
    assert f"| {backend} |" in printed
    assert result["machine"]["versions"]["keras"] == keras.version()
    for row in result["frameworks"].values():
        assert len(row["ratios"]) == 2
        assert all(np.isfinite(value) for value in row["ratios"])
