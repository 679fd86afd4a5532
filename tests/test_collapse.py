"""Runs that are made to collapse are caught within 200 steps, healthy ones never."""

import warnings

import pytest

from keras_asit import training
from keras_asit.callbacks import Doctor
from keras_asit.data import read_manifest
from keras_asit.data.synthetic import write_dataset
from keras_asit.quickstart.job import PRETRAINING

pytestmark = pytest.mark.large
STEPS = 200
MODEL = training.SmallModel(hidden_dim=64, num_layers=2)


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("events")
    manifest = write_dataset(folder, unlabelled=96, seconds=2.7, splits={})
    return read_manifest(manifest).paths


def sickness(clips, steps=STEPS, seed=0, **changes):
    """What the doctor finds in a run with the quickstart's settings but for some."""
    frontend = MODEL.frontend(*training.normalisation(clips, MODEL.frontend()))
    doctor = Doctor()
    with training.seeded(seed), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Step .*: for .* steps")
        training.pretrain(
            MODEL.backbone(frontend), clips, crop_seconds=MODEL.crop_seconds,
            batch_size=16, budget=training.Budget(1e-3, steps=steps), seed=seed,
            callbacks=[doctor], **{**PRETRAINING, **changes},
        )  # fmt: skip
    return doctor.sickness


@pytest.mark.parametrize("seed", [0, 1])
def test_without_a_centre(clips, seed):
    found = sickness(clips, seed=seed, centering="mean", center_momentum=1.0)
    assert "global: few classes" in found


@pytest.mark.parametrize("seed", [0, 1])
def test_a_teacher_that_is_not_sharp(clips, seed):
    found = sickness(clips, seed=seed, teacher_temperature=1.0)
    assert "global: uniform" in found


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_healthy_runs(clips, seed):
    assert sickness(clips, steps=500, seed=seed) == {}
