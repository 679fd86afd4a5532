"""The same weights, batches and masks give the same training on every backend.

The others run in processes of their own, because Keras fixes its backend when it is
imported; all run `drivers/three_steps.py`.
"""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from drivers import three_steps

TESTS = Path(__file__).resolve().parent
OURS = keras.backend.backend()
OTHERS = [
    pytest.param(name, marks=[pytest.mark.large] if name == "torch" else [])
    for name in ("tensorflow", "jax", "torch")
    if name != OURS
]
STEPS = range(three_steps.STEPS)
RUN = """
import sys
import keras
import numpy as np
from drivers import three_steps
if keras.backend.backend() == "torch":
    three_steps.copies = lambda variable: [variable.value.detach().numpy()]
np.savez(sys.argv[1], **three_steps.on_one_device())
"""


@pytest.fixture(scope="module", params=OTHERS)
def both(request, tmp_path_factory):
    """The records of this backend and of another."""
    other = request.param
    if importlib.util.find_spec(other) is None:
        pytest.skip(f"{other} is not installed beside {OURS}")
    file = tmp_path_factory.mktemp(other) / "record.npz"
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(file)],
        env={
            **os.environ,
            "KERAS_BACKEND": other,
            "PYTHONPATH": os.pathsep.join(str(p) for p in (TESTS, TESTS.parent)),
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiles sooner
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    ours = three_steps.on_one_device()  # at the same time; once for all others
    output, _ = process.communicate()
    assert process.returncode == 0, output
    return ours, dict(np.load(file))


def test_the_weights_are_the_same_ones(both):
    ours, theirs = both
    assert ours["paths"].tolist() == theirs["paths"].tolist()


@pytest.mark.parametrize("part", ["reconstruction_", "local_", "global_", ""])
@pytest.mark.parametrize("step", STEPS)
def test_losses_agree(both, part, step):
    ours, theirs = (record[f"{part}loss_{step}"] for record in both)
    assert ours > 0.05
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.parametrize("step", STEPS)
def test_schedules_agree(both, step):
    for name in ("rate", "decay"):
        ours, theirs = (record[f"{name}_{step}"] for record in both)
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    ours = both[0]
    assert ours["rate_1"] == pytest.approx(1e-3)  # a quarter of the warm-up
    assert ours["decay_0"] < ours["decay_1"] < ours["decay_2"]


@pytest.mark.parametrize("step", STEPS)
def test_teacher_student_and_centres_agree(both, step):
    ours, theirs = both
    for i, path in enumerate(ours["paths"]):
        np.testing.assert_allclose(
            three_steps.without_key_bias(path, ours[f"weight_{step}_{i}"]),
            three_steps.without_key_bias(path, theirs[f"weight_{step}_{i}"]),
            rtol=1e-5,
            atol=1e-5,
            err_msg=path,
        )
