"""The benchmarks run, and their arithmetic is right; no timing is judged."""

import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from benchmarks import checkpoint, corruption, data, machine, pretraining_gain
from benchmarks.networks import NETWORKS, Network, step_flops
from benchmarks.step_worker import keras_pretrainer
from benchmarks.train_step import summary
from keras_asit.audio import LogMelFilterbank
from keras_asit.layers import GMMLCorruption
from keras_asit.quickstart import job
from tiny_asit import LoudPixels, shake

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
@pytest.mark.large
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


@pytest.mark.large
def test_a_checkpoint_is_timed(tmp_path, capsys):
    out = tmp_path / "result.json"
    sizes = ["--tiny", "--batch", "2", "--turns", "2", "--steps", "2"]
    checkpoint.main([*sizes, "--folder", str(tmp_path), "--out", str(out)])
    assert f"backend {keras.backend.backend()}: 2 turns" in capsys.readouterr().out
    result = json.loads(out.read_text())
    times = [*result["seconds"].values(), result["longest_blocked"], result["file_gb"]]
    assert len(times) == 6
    assert all(value > 0 for value in times)
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_corruption_is_timed(monkeypatch):
    monkeypatch.setattr(corruption, "SHAPE", (2, 2, 32, 16))
    times = corruption.milliseconds(GMMLCorruption(seed=0), repetitions=2)
    assert times.shape == (2,)
    assert np.all(times > 0)


@pytest.fixture
def filterbank(monkeypatch):
    """The benchmark on a tenth of a second; its import sets environment variables."""
    for name in ("KERAS_BACKEND", "XLA_FLAGS"):
        monkeypatch.setenv(name, os.environ.get(name, ""))
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())
    module = importlib.import_module("benchmarks.filterbank")
    monkeypatch.setattr(module, "SECONDS", 0.1)
    monkeypatch.setattr(module, "use_one_thread", lambda: None)
    return module


def test_filterbank_is_timed(filterbank, capsys):
    pytest.importorskip("kaldi_native_fbank")
    filterbank.main(["--turns", "1"])
    first, *rows = capsys.readouterr().out.splitlines()
    assert f"backend {keras.backend.backend()}" in first
    assert f"keras {keras.version()}" in first
    assert len(rows) == (3 if keras.backend.backend() == "tensorflow" else 2)
    assert all(float(row.split()[-2]) > 0 for row in rows)


def test_times_are_those_of_the_functions(filterbank):
    calls = []
    times = filterbank.milliseconds({"a": lambda: calls.append(1)}, turns=2, calls=3)
    assert len(times["a"]) == 6
    assert len(calls) == 9, "the first turn compiles and is not timed"


@pytest.mark.large_on_jax
def test_data_is_timed(capsys):
    pytest.importorskip("apache_beam")
    data.main(["--clips", "2", "--turns", "1"])
    printed = capsys.readouterr().out
    names = re.findall(r"^(.+?) +CPU +[\d.]+ ms a clip", printed, re.MULTILINE)
    assert len(names) == len(set(names)) == 10
    assert {"decode FLAC", "pipeline, shards to waveform"} < set(names)


def test_the_plain_loop_does_the_same_work(tmp_path):
    """Its log-mel in numpy is that of the layer, but for the normalisation."""
    wave = np.random.default_rng(0).uniform(-0.5, 0.5, 6 * data.RATE).astype("float32")
    frontend = LogMelFilterbank(data.RATE, num_frames=592)
    expected = keras.ops.convert_to_numpy(frontend(wave))
    np.testing.assert_allclose(data.log_mel(wave), expected, atol=1e-2)


@pytest.mark.large_on_jax
def test_a_large_manifest_is_timed(capsys):
    data.main(["--clips", "2", "--rows", "40"])
    assert re.search(r"40 rows: loaded in [\d.]+ s", capsys.readouterr().out)


@pytest.mark.backend_free
def test_settings_of_a_gain_are_names_and_python_literals(capsys):
    parser = pretraining_gain.parser()
    options = parser.parse_args(["--set", "momentum=0.9", "fill='noise'"])
    assert options.set == [("momentum", 0.9), ("fill", "noise")]
    for wrong in ("momentum", "fill=noise", "momentum=", "momentum={1}"):
        with pytest.raises(SystemExit):
            parser.parse_args(["--set", wrong])
        message = capsys.readouterr().err
        assert "expected NAME=VALUE" in message
        assert repr(wrong) in message


@pytest.fixture
def gain_of_nothing(monkeypatch, tmp_path):
    """`pretraining_gain.main` on runs that only count themselves."""
    runs = []

    def one_run(options, fold, seed):
        runs.append((fold, seed))
        scores = dict.fromkeys(pretraining_gain.NAMES, 50.0)
        return {
            "fold": fold,
            "seed": seed,
            "accuracy": {"10": scores},
            "pretraining_steps": 1,
            "seconds": 1.0,
        }

    monkeypatch.setattr(pretraining_gain, "one_run", one_run)
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())

    def main(*arguments):
        backend = ["--backend", keras.backend.backend(), "--out", str(tmp_path)]
        return pretraining_gain.main([*backend, *arguments])

    return main, runs


def test_a_gain_that_was_stopped_goes_on(gain_of_nothing, monkeypatch, capsys):
    main, runs = gain_of_nothing
    changed = ("--set", "projection_hidden_dims=(64,)")
    assert main("--seeds", "0", *changed) == 0
    assert main("--seeds", "0", "1", *changed) == 0
    assert runs == [("1", 0), ("1", 1)]
    assert "2 runs, 2 seeds" in capsys.readouterr().out
    assert main("--seeds", "0", "--set", "projection_hidden_dims=(32,)") == 2
    assert "is of another run" in capsys.readouterr().err
    monkeypatch.setitem(job.PRETRAINING, "momentum", 0.5)
    assert main("--seeds", "0", *changed) == 2, "the quickstart's setting changed"
    assert runs == [("1", 0), ("1", 1)]


@pytest.mark.parametrize("wrong", ["warp=1", "seed=3", "=4"])
def test_a_gain_knows_its_settings(gain_of_nothing, wrong, capsys):
    main, runs = gain_of_nothing
    assert main("--set", wrong) == 2
    assert f"no setting ['{wrong.partition('=')[0]}']" in capsys.readouterr().err
    assert not runs


@pytest.mark.backend_free
def test_gain_is_over_seeds_of_the_means_over_folds():
    def run(fold, seed, scratch, pretrained):
        scores = {"floor": 40.0, "scratch": scratch, "pretrained": pretrained}
        scores["gain"] = pretrained - scratch
        return {
            "fold": fold,
            "seed": seed,
            "accuracy": {"10": scores},
            "pretraining_steps": 100 + seed,
            "seconds": 90.0,
        }

    results = [
        run("1", 0, 50.0, 60.0),
        run("2", 0, 60.0, 62.0),
        run("1", 1, 54.0, 58.0),
        run("2", 1, 64.0, 64.0),
    ]
    about, names, row = pretraining_gain.table(results).splitlines()
    assert about == "4 runs, 2 seeds, 6 min, 100 to 101 steps"
    assert names.split() == ["labels", "floor", "scratch", "pretrained", "gain"]
    # Seeds: scratch 55 and 59, pretrained 61 and 61, gain 6 and 2; 4 / sqrt(2) = 2.8.
    assert " ".join(row.split()) == "10 40.0 ± 0.0 57.0 ± 2.8 61.0 ± 0.0 4.0 ± 2.8"
    one = pretraining_gain.table(results[:2]).splitlines()[-1]
    assert one.split() == ["10", "40.0", "55.0", "61.0", "6.0"]
