"""The benchmarks run, and their arithmetic is right; no timing is judged."""

import importlib
import json
import os
import re

import keras
import numpy as np
import pytest

from benchmarks import checkpoint, corruption, data, pretraining_gain
from keras_asit.audio import LogMelFilterbank
from keras_asit.layers import GMMLCorruption
from keras_asit.quickstart import job


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


@pytest.mark.large
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
