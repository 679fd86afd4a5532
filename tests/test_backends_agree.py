"""TensorFlow and JAX: the same weights, batch and masks give the same training.

The other backend runs in a process of its own, because Keras fixes its backend when
it is imported; what both run is `drivers/one_step.py`.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from drivers import one_step

TESTS = Path(__file__).resolve().parent
OTHER = "jax" if keras.backend.backend() == "tensorflow" else "tensorflow"


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The records of this backend and of the other."""
    if importlib.util.find_spec(OTHER) is None:
        pytest.skip(f"{OTHER} is not installed beside {keras.backend.backend()}")
    file = tmp_path_factory.mktemp("other") / "record.npz"
    process = subprocess.Popen(
        [sys.executable, str(TESTS / "drivers" / "one_step.py"), str(file)],
        env={**os.environ, "KERAS_BACKEND": OTHER, "PYTHONPATH": str(TESTS.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    ours = one_step.record()
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return ours, dict(np.load(file))


def test_the_weights_are_the_same_ones(both):
    ours, theirs = both
    assert ours["paths"].tolist() == theirs["paths"].tolist()


@pytest.mark.parametrize("part", ["reconstruction", "local", "global"])
@pytest.mark.parametrize("step", range(one_step.STEPS))
def test_losses_agree(both, part, step):
    ours, theirs = (record[f"{part}_loss_{step}"] for record in both)
    assert ours > 0.05
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("step", range(one_step.STEPS))
def test_schedules_agree(both, step):
    for name in ("rate", "decay"):
        ours, theirs = (record[f"{name}_{step}"] for record in both)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert both[0]["rate_1"] == pytest.approx(1e-3)  # a quarter of the warm-up
    assert both[0]["decay_0"] < both[0]["decay_1"] < both[0]["decay_2"]


def differences(both, step):
    """The largest absolute difference of each weight after a step, by its path."""
    ours, theirs = both
    return {
        path: np.abs(
            ours[f"weight_{step}_{i}"].astype("float64") - theirs[f"weight_{step}_{i}"]
        ).max()
        for i, path in enumerate(ours["paths"])
    }


def test_teacher_and_student_agree_after_a_step(both):
    found = differences(both, step=1)  # the second; the first has a learning rate of 0
    assert any("teacher" in path for path in found)
    assert max(found.values()) < 1e-5, max(found.items(), key=lambda item: item[1])


def test_teacher_and_student_agree_after_three_steps(both):
    found = differences(both, step=one_step.STEPS - 1)
    assert max(found.values()) < 5e-5, max(found.items(), key=lambda item: item[1])
