"""The benchmark of the training step runs, and its arithmetic is right."""

import importlib.util
import itertools
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from benchmarks import machine, train_step, worker
from benchmarks.keras_step import Preparation, keras_pretrainer
from benchmarks.networks import NETWORKS, Network, frames_of, step_flops
from benchmarks.step_report import summary, tables
from tiny_asit import LoudPixels, shake

ROOT = Path(__file__).resolve().parent.parent
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="needs PyTorch, the peer"
)


def run(*arguments):
    """Runs a benchmark as its documentation says and returns what it printed."""
    command = [sys.executable, "-m", *arguments]
    result = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=900
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
        memory = {"rss_gb": 1.0, "memory_gb": 2.0}
        return [{"seconds": s, "cpu_seconds": s, **memory} for s in seconds]

    rows = summary(
        {"torch": answers(1.0, 4.0, 2.0), "jax": answers(2.0, 4.0, 1.0)},
        {"torch": {"seconds": 1.0}, "jax": {"seconds": 9.0}},
        rates={"torch": [5.0, 5.0, 10.0], "jax": [10.0, 10.0, 5.0]},
        steps=1,
        batch=2,
        flops=1e9,
        prepared={"torch": [], "jax": [0.02, 0.2, 0.02]},
    )
    assert rows["torch"]["ratio_to_torch"] == 1.0
    assert "ratio_to_torch_compiled" not in rows["jax"]
    assert rows["jax"]["ratios_to_torch"] == [0.5, 1.0, 2.0]
    assert rows["jax"]["share_of_preparation"] == pytest.approx(0.02)
    assert rows["jax"]["milliseconds_per_clip"] == 1000.0
    assert rows["jax"]["peak_memory_gb"] == 2.0
    assert "share_of_preparation" not in rows["torch"]
    assert rows["jax"]["ratio_to_torch"] == 1.0
    assert rows["jax"]["clips_per_second"] == 1.0
    assert rows["jax"]["share_of_matrix_rate"] == pytest.approx(0.1)
    assert rows["jax"]["first_step_seconds"] == 9.0


def test_matrix_rate_is_a_rate(monkeypatch):
    calls, clock = [], itertools.count()
    monkeypatch.setattr(machine.time, "perf_counter", lambda: next(clock))
    rate = machine.matrix_rate(
        lambda a: lambda times: calls.extend([a @ a] * times),
        side=16,
        products=2,
        repetitions=2,
    )
    assert rate == pytest.approx(2 * 2 * 16**3 / 1e9), "two products a second"
    assert len(calls) == 6
    assert calls[0].dtype == np.float32


@pytest.fixture(scope="module")
def toy():
    """The toy network as `benchmarks.step_worker` makes it; the mask has no chance."""
    return keras_pretrainer(
        NETWORKS["toy"], corruption_layer=LoudPixels(), drop_path=0.0
    )


def weights_of(toy, owner):
    """Weights in the order of the peer's `Branch`: prototypes, backbone, MLP."""
    heads = getattr(toy, f"{owner}_heads")
    prototypes = [heads[part].prototypes for part in ("local", "global")]
    return [*prototypes, *getattr(toy, owner).weights, *heads["local"].mlp.weights]


def copy_to_peer(weights, *parts):
    """Kernels are the other way round there."""
    import torch

    parameters = [p for part in parts for p in part.parameters()]
    for parameter, weight in zip(parameters, weights, strict=True):
        value = np.array(weight)
        value = value.T if value.ndim == 2 else value
        assert parameter.shape == value.shape or value.shape == (1,)
        with torch.no_grad():
            parameter.copy_(torch.tensor(value))


@needs_torch
@pytest.mark.large_on_jax
def test_the_peer_is_the_same_network_with_the_same_loss(toy, monkeypatch):
    import torch

    from benchmarks import torch_asit

    for owner, seed in (("student", 1), ("teacher", 2)):
        shake(weights_of(toy, owner), seed=seed)
    peer = torch_asit.Pretraining(NETWORKS["toy"], drop_path=0.0)
    for owner in ("student", "teacher"):
        copy_to_peer(weights_of(toy, owner), getattr(peer, owner))
    painter = toy.reconstruction_head
    painted = [*painter.mlp.weights, painter.to_patch.kernel, painter.bias]
    copy_to_peer(painted, peer.reconstruction, peer.to_patch)  # one bias for all pixels

    views = np.random.default_rng(0).normal(size=(3, 2, 32, 32)).astype("float32")
    monkeypatch.setattr(
        torch_asit, "corrupt", lambda x: (x * (x <= 0.3), (x > 0.3).float())
    )
    expected = float(toy.compute_loss(y_pred=toy(views)))
    loss = float(peer.loss(torch.tensor(views)).detach())
    assert loss == pytest.approx(expected, rel=1e-4)


@needs_torch
def test_the_peers_step_moves_student_and_teacher():
    import torch

    from benchmarks.torch_asit import Pretraining

    torch.manual_seed(0)
    peer = Pretraining(NETWORKS["toy"])
    student = [p.detach().clone() for p in peer.student.parameters()]
    teacher = [p.clone() for p in peer.teacher.parameters()]
    loss = peer.step(torch.randn(2, 2, 32, 32))
    assert np.isfinite(loss)
    moved = [p.detach() for p in peer.student.parameters()]
    assert all(not torch.equal(a, b) for a, b in zip(student, moved))
    for before, after, ours in zip(teacher, peer.teacher.parameters(), moved):
        expected = peer.momentum * before + (1 - peer.momentum) * ours
        torch.testing.assert_close(after, expected)


@needs_torch
def test_the_peer_clips_each_gradient_as_pytorch_does():
    import torch

    from benchmarks.torch_asit import clip_each

    gradients = [torch.full((4, 3), 2.0), torch.full((5,), 0.1)]
    ours, theirs = (
        [torch.nn.Parameter(torch.zeros_like(g)) for g in gradients] for _ in range(2)
    )
    for ours_or_theirs in (ours, theirs):
        for parameter, gradient in zip(ours_or_theirs, gradients):
            parameter.grad = gradient.clone()
    clip_each(ours, 3.0)
    for a, b in zip(ours, theirs):
        torch.nn.utils.clip_grad_norm_(b, 3.0)
        torch.testing.assert_close(a.grad, b.grad)


@needs_torch
def test_the_peer_trains_in_bfloat16():
    import torch

    from benchmarks.torch_asit import Pretraining

    torch.manual_seed(0)
    peer = Pretraining(NETWORKS["toy"], half=torch.bfloat16)
    assert np.isfinite(float(peer.step(torch.randn(2, 2, 32, 32))))
    assert all(p.dtype == torch.float32 for p in peer.parameters)


@pytest.mark.backend_free
def test_frames_of_a_length_are_whole_patches():
    lengths = (0.1, 1.5, 3, 6, 10)
    assert [frames_of(seconds) for seconds in lengths] == [0, 144, 288, 592, 992]
    assert frames_of(0.175) == 16, "the shortest clip of 16 frames"


def test_the_preparation_of_a_step_is_timed(toy, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())
    if keras.backend.backend() == "tensorflow":
        monkeypatch.setattr(toy, "jit_compile", False, raising=False)
    preparation = Preparation(toy, batch=2)
    assert preparation(2)["seconds"] > 0
    made = preparation.compiled(preparation.make_waveforms())
    assert made["clean"].shape == made["mask"].shape == (2, 2, 32, 32)


FAKE_WORKER = """
import json, os, signal, sys

framework, words = sys.argv[1], sys.argv[2:]
batch = int(words[words.index("--batch") + 1])

def say(**facts):
    print(json.dumps(facts), flush=True)

if framework == "jax" and batch == 32:
    say(failed="out of memory (a test)")
    sys.exit(1)
took = {"seconds": 0.5, "cpu_seconds": 0.5, "rss_gb": 1.0, "memory_gb": 3.0}
say(**took)
for line in sys.stdin:
    request, *numbers = line.split()
    if request == "matmul":
        say(gflops=1000.0)
    elif request == "prepare":
        say(seconds=0.05) if batch == 16 else say(failed="out of memory (a test)")
    elif batch == 64:
        os.kill(os.getpid(), signal.SIGKILL)
    else:
        say(**took)
"""


@pytest.fixture
def fake_workers(monkeypatch, tmp_path):
    """Workers that answer at once; jax has no memory for 32 clips, torch for 64."""
    script = tmp_path / "fake_worker.py"
    script.write_text(FAKE_WORKER)
    monkeypatch.setattr(worker, "COMMAND", [sys.executable, str(script)])
    monkeypatch.setattr(train_step, "probe", lambda *_: "a GPU")
    return tmp_path / "result.json"


GPU_RUN = ["--device", "gpu", "--size", "base", "--dtype", "bfloat16", "--rounds", "2"]
GPU_RUN += ["--steps", "1", "--frameworks", "torch", "jax"]


@pytest.mark.backend_free
def test_batches_are_doubled_until_memory_runs_out(fake_workers, capsys):
    assert train_step.main([*GPU_RUN, "--out", str(fake_workers)]) == 0
    result = json.loads(fake_workers.read_text())
    rows = {case["batch"]: case["frameworks"] for case in result["cases"]}
    assert {batch: list(row) for batch, row in rows.items()} == {
        16: ["torch", "jax"],
        32: ["torch", "jax"],
        64: ["torch"],
    }
    assert rows[16]["jax"]["share_of_preparation"] == pytest.approx(0.01)
    assert rows[32]["jax"] == {"failed": "out of memory (a test)"}
    assert "killed" in rows[64]["torch"]["failed"]
    assert result["machine"]["gpu"] == "a GPU"
    printed = capsys.readouterr().out
    assert "| 16 | jax | 32 | 31.2 | 1.00 (1.00 to 1.00) |" in printed
    assert "| 1.0 % of the step | 0.5 s | 3.00 GB |" in printed
    assert "| 32 | jax | - | - |" in printed
    assert "- torch, batch 64: killed" in printed


@pytest.mark.backend_free
def test_an_interrupted_run_keeps_its_rows(fake_workers, monkeypatch, capsys):
    taken = []

    def start(names, *arguments):
        if taken:
            raise KeyboardInterrupt
        taken.extend(names)
        return worker_start(names, *arguments)

    worker_start = train_step.start
    monkeypatch.setattr(train_step, "start", start)
    assert train_step.main([*GPU_RUN, "--out", str(fake_workers)]) == 130
    (case,) = json.loads(fake_workers.read_text())["cases"]
    assert list(case["frameworks"]) == ["torch"]
    assert "| 16 | torch | 32 |" in capsys.readouterr().out


@pytest.mark.backend_free
def test_lengths_make_a_curve(fake_workers):
    lengths = ["--batch", "16", "--seconds", "3", "1.5", "--out", str(fake_workers)]
    assert train_step.main([*GPU_RUN, *lengths]) == 0
    lines = list(tables(json.loads(fake_workers.read_text())))
    curve = lines[lines.index("By length:") + 4 :]
    cells = [[cell.strip() for cell in line.split("|")[4:7]] for line in curve]
    assert cells == [
        ["torch", "1.5 s", "73"],
        ["torch", "3 s", "145"],
        ["jax", "1.5 s", "73"],
        ["jax", "3 s", "145"],
    ]


@pytest.mark.backend_free
@pytest.mark.parametrize(
    "wrong", [["--batch", "0"], ["--seconds", "0.1"], ["--dtype", "float16"]]
)
def test_wrong_options_of_train_step_are_refused(wrong):
    with pytest.raises(SystemExit) as stopped:
        train_step.main(wrong)
    assert stopped.value.code == 2


@pytest.mark.backend_free
def test_a_gpu_that_is_not_there_is_named(monkeypatch, capsys):
    def probe(framework, device):
        raise worker.WorkerFailed(f"RuntimeError: {framework} sees no GPU")

    monkeypatch.setattr(train_step, "probe", probe)
    with pytest.raises(SystemExit) as stopped:
        train_step.main(["--device", "gpu"])
    assert stopped.value.code == 2
    assert "needs a GPU that torch sees" in capsys.readouterr().err


@needs_torch
@pytest.mark.large
def test_train_step_runs_for_a_moment(tmp_path):
    """Both dtypes; a batch of a million million clips fits nowhere."""
    out = tmp_path / "result.json"
    backend = keras.backend.backend()
    arguments = ["--tiny", "--batch", "2", str(10**12), "--rounds", "2", "--steps", "1"]
    arguments += ["--dtype", "float32", "bfloat16", "--seconds", "0.2"]
    arguments += ["--frameworks", "torch", backend, "--out", str(out)]
    printed = run("benchmarks.train_step", *arguments)
    result = json.loads(out.read_text())
    assert f"| 2 | {backend} |" in printed
    assert result["machine"]["versions"]["keras"] == keras.version()
    assert len(result["cases"]) == 4
    for case in result["cases"]:
        assert set(case["frameworks"]) == {"torch", backend}
        for row in case["frameworks"].values():
            if case["batch"] > 2:
                assert "out of memory" in row["failed"]
            else:
                assert len(row["ratios_to_torch"]) == 2
                assert all(np.isfinite(value) for value in row["ratios_to_torch"])
        if case["batch"] == 2:
            assert case["frameworks"][backend]["share_of_preparation"] > 0


@needs_torch
@pytest.mark.large
@pytest.mark.backend_free
def test_compiled_pytorch_runs_or_says_why(tmp_path):
    """It needs a C++ compiler, and compiles for long."""
    out = tmp_path / "result.json"
    arguments = ["--tiny", "--batch", "2", "--rounds", "1", "--steps", "1"]
    arguments += ["--frameworks", "torch", "torch-compiled", "--out", str(out)]
    run("benchmarks.train_step", *arguments)
    (case,) = json.loads(out.read_text())["cases"]
    row = case["frameworks"]["torch-compiled"]
    if "failed" in row:
        assert "compiler" in row["failed"].lower()
    else:
        assert row["ratio_to_torch_compiled"] == 1.0
