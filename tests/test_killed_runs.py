"""A run that is killed again and again ends with the weights of one that is not."""

import os
import random
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from drivers import short_run
from keras_asit import checkpoints

KILLS = 10


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, short_run.__file__, *map(str, arguments)],
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
        stdout=subprocess.PIPE,
        text=True,
    )


def await_line(process, line):
    while (found := process.stdout.readline()) != f"{line}\n":
        assert found, "it ended before it was killed"


@pytest.mark.large_on_jax
def test_sigterm_ends_a_program_well(tmp_path):
    if keras.backend.backend() not in ("tensorflow", "jax"):
        pytest.skip("runs on TensorFlow and on JAX")
    (tmp_path / "clips").mkdir()
    short_run.write_clips(tmp_path / "clips")
    folder, out = tmp_path / "checkpoints", tmp_path / "out.npz"
    process = start(tmp_path / "clips", folder, out)
    await_line(process, "step")
    await_line(process, "saving")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert not out.exists()  # it did not train to its end
    assert checkpoints.read_newest(folder)[1]["step"] >= 1
    assert {path.suffix for path in folder.iterdir()} == {".ckpt"}


@pytest.mark.timeout(900)
@pytest.mark.large
def test_weights_are_the_same_to_the_bit(tmp_path):
    if keras.backend.backend() not in ("tensorflow", "jax"):
        pytest.skip("runs on TensorFlow and on JAX")
    (tmp_path / "clips").mkdir()
    clips = tmp_path / "clips"
    short_run.write_clips(clips)
    whole, killed = tmp_path / "whole.npz", tmp_path / "killed.npz"
    assert start(clips, tmp_path / "undisturbed", whole).wait() == 0

    chance, folder = random.Random(0), tmp_path / "checkpoints"
    while_saving = 0
    for number in range(KILLS):
        process = start(clips, folder, killed)
        for _ in range(chance.randint(1, 5)):
            await_line(process, "step")
        if number % 2:
            await_line(process, "saving")
        else:
            time.sleep(chance.uniform(0, 0.05))
        process.kill()
        process.wait()
        while_saving += bool(list(folder.glob("*.part")))
    assert while_saving >= KILLS // 4
    assert start(clips, folder, killed).wait() == 0
    with np.load(whole) as expected, np.load(killed) as found:
        assert expected.files == found.files
        for name in expected.files:
            np.testing.assert_array_equal(found[name], expected[name])
