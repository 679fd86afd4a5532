"""Writing that is killed, interrupted or spread over processes, and run again."""

import contextlib
import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from keras_asit.data.shards import one_shard
from keras_asit.data.shards.writing import write

pytestmark = [
    pytest.mark.backend_free,
    pytest.mark.skipif(os.name != "posix", reason="needs signals"),
]
pytest.importorskip("apache_beam")

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = {"sample_rate": 8000, "shard_size": "30kB", "seed": 1}

# Runs `write`, and comes to a halt for ever in the middle of the second shard.
HALTS = """
import sys, time
from keras_asit.data.shards import one_shard, writing

read, clips = one_shard.read, []

def read_and_halt(path, sample_rate):
    clips.append(path)
    if len(clips) == 5:
        print("halted", flush=True)
        time.sleep(600)
    return read(path, sample_rate=sample_rate)

one_shard.read = read_and_halt
settings = {"sample_rate": 8000, "shard_size": "30kB", "seed": 1}
writing.write(sys.argv[1], sys.argv[2], **settings)
"""

# The same with a worker process that is killed, as the system does for want of memory.
LOSES_A_WORKER = """
import os, sys
from keras_asit.data.shards import running, writing

running.write_shard = lambda task, job: os.kill(os.getpid(), 9)
settings = {"sample_rate": 8000, "shard_size": "30kB", "seed": 1}
options = ["--direct_num_workers=2"]
writing.write(sys.argv[1], sys.argv[2], pipeline_options=options, **settings)
"""


@contextlib.contextmanager
def started(script, *arguments):
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": "jax"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def files_of(folder):
    """Bytes of the files of a set, without those of its plan."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def clips_of(folder):
    with open(folder / "clips.csv", newline="") as file:
        return sorted(int(row["clip"]) for row in csv.DictReader(file))


def test_killed_and_run_again(write_manifest, tmp_path):
    """kill -9 in the middle of a shard; then the same call, and one never killed."""
    source, killed, whole = write_manifest(12), tmp_path / "killed", tmp_path / "whole"
    with started(HALTS, source, killed) as process:
        assert process.stdout.readline() == "halted\n", process.communicate()[1]
    assert process.returncode == -signal.SIGKILL
    done, unfinished = killed / "plan" / "done", killed / "plan" / "unfinished"
    assert [file.name for file in done.glob("*.json")] == ["shard-00000.json"]
    assert len(list(unfinished.iterdir())) == 1
    assert not (killed / "shards.json").exists()
    finished = os.stat(killed / "shard-00000-of-00004.tfrecord").st_mtime_ns

    write(source, killed, **SETTINGS)
    write(source, whole, **SETTINGS)
    assert files_of(killed) == files_of(whole)
    assert clips_of(killed) == list(range(12))
    assert os.stat(killed / "shard-00000-of-00004.tfrecord").st_mtime_ns == finished
    assert list(unfinished.iterdir()) == []


def test_interrupted_and_run_again(write_manifest, tmp_path, monkeypatch):
    """Ctrl-C in the middle of a shard."""
    source, out = write_manifest(12), tmp_path / "out"
    read, clips = one_shard.read, []

    def read_and_interrupt(path, sample_rate):
        clips.append(path)
        if len(clips) == 5:
            signal.raise_signal(signal.SIGINT)
        return read(path, sample_rate=sample_rate)

    monkeypatch.setattr(one_shard, "read", read_and_interrupt)
    # In the background, as some run the tests, Python leaves Ctrl-C ignored.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            write(source, out, **SETTINGS)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert len(list(out.glob("*.tfrecord"))) == 1
    assert list((out / "plan" / "unfinished").iterdir()) == []
    assert write(source, out, **SETTINGS).clips == 12


@pytest.mark.large
def test_two_processes(write_manifest, tmp_path, capfd):
    source, one, two = write_manifest(12), tmp_path / "one", tmp_path / "two"
    write(source, one, **SETTINGS)
    write(source, two, pipeline_options=["--direct_num_workers=2"], **SETTINGS)
    assert files_of(one) == files_of(two)
    err = capfd.readouterr().err
    assert "Traceback" not in err and "INFO" not in err, err


@pytest.mark.large
def test_process_that_is_killed(write_manifest, tmp_path):
    """Beam alone would wait for it for ever."""
    source, out = write_manifest(12), tmp_path / "out"
    with started(LOSES_A_WORKER, source, out) as process:
        _, err = process.communicate(timeout=200)
    assert "ShardError: A process of Beam was killed" in err
    assert write(source, out, **SETTINGS).clips == 12
