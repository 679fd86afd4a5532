"""Sick runs are told from healthy ones, and lost ones are stopped."""

import time
import warnings

import keras
import numpy as np
import pytest
import soundfile

from keras_asit.callbacks import Doctor, EMATeacher
from keras_asit.callbacks.diagnosis import diagnose
from keras_asit.data import pretraining_dataset
from keras_asit.models import ASiTClassifier
from keras_asit.optimizers import ScheduledAdamW
from tiny_asit import SAMPLES, clean_views, tiny_backbone, tiny_pretrainer, values

# XLA compiles slowly and is not the point here; on JAX a step is always compiled.
COMPILED = {"jit_compile": "auto" if keras.backend.backend() == "jax" else False}
HEALTHY = {"feature_std": 0.3, "feature_rank": 4.0, "clips": 8}
HEAD = {"global_loss": 4.0, "global_entropy": 2.0, "global_usage": 4.5}
SIZES = {"global": 128}  # log 128 = 4.852


def pretrainer(**options):
    keras.utils.set_random_seed(0)
    model = tiny_pretrainer(backbone=tiny_backbone(num_layers=1), **options)
    model.compile(ScheduledAdamW(3e-3), **COMPILED)
    return model


@pytest.mark.parametrize(
    ("changed", "found", "advice"),
    [
        ({}, [], ""),
        ({"global_entropy": 0.0}, [], ""),  # sure, and of many classes: healthy
        ({"global_usage": 0.2}, ["global: few classes"], "center_momentum below 1"),
        (
            {"global_entropy": 4.84, "global_loss": 4.85, "global_usage": 4.85},
            ["global: uniform"],
            "teacher_temperature of EMATeacher",
        ),
        ({"global_entropy": 4.84, "global_usage": 4.85}, [], ""),  # the loss falls
        ({"feature_rank": 1.01}, ["flat"], "feature_rank 1.01"),
        ({"feature_std": 1e-5}, ["flat"], "Are the clips silent"),
        ({"feature_rank": 1.0, "clips": 2}, [], ""),  # two clips are on a line
    ],
)
def test_diagnosis(changed, found, advice):
    diagnosis = diagnose({**HEALTHY, **HEAD, **changed}, SIZES)
    assert list(diagnosis) == found
    assert advice in "".join(diagnosis.values())


@pytest.mark.parametrize(("usage", "found"), [(1.386, []), (0.2, ["few classes"])])
def test_four_clips_cannot_use_more_classes_than_four(usage, found):
    signs = {**HEALTHY, **HEAD, "global_usage": usage, "clips": 4}
    names = [f"global: {name}" for name in found]
    assert list(diagnose(signs, {"global": 8192})) == names


def test_a_run_without_heads_has_features_alone():
    assert diagnose(HEALTHY, {}) == {}
    assert list(diagnose({**HEALTHY, "feature_std": 0.0}, {})) == ["flat"]


@pytest.fixture(scope="module")
def healthy():
    """The logs of two epochs of 3 steps with the doctor that `fit` adds."""
    model = pretrainer()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        history = model.fit(clean_views(12), batch_size=4, epochs=2, verbose=0)
    return model, history.history


def test_vital_signs_are_in_the_logs_of_an_epoch(healthy):
    model, history = healthy
    expected = {"skipped_steps", "clips_per_second", "data_wait", *model.vital_names}
    found = {n.removeprefix("doctor/") for n in history if n.startswith("doctor/")}
    assert found == expected - {"clips"}
    assert history["doctor/skipped_steps"] == [0, 0]
    assert all(len(history[f"doctor/{name}"]) == 2 for name in found)
    assert all(0 <= share < 1 for share in history["doctor/data_wait"])
    # Read once, at the end: what the last step measured.
    last = dict(zip(model.vital_names, values([model.vitals])[0], strict=True))
    np.testing.assert_allclose(
        history["doctor/gradient_norm"][1], last["gradient_norm"], rtol=1e-6
    )


def test_weights_do_not_depend_on_when_it_reads(healthy):
    model, _ = healthy
    often = pretrainer()
    often.fit(
        clean_views(12), batch_size=4, epochs=2, verbose=0, callbacks=[Doctor(every=1)]
    )
    for found, expected in zip(values(often.weights), values(model.weights)):
        np.testing.assert_array_equal(found, expected)


def test_waiting_for_data_is_measured(healthy):
    model, _ = healthy

    def slow():
        for batch in range(5):
            time.sleep(0.1)
            yield (clean_views(4, seed=batch),)

    history = model.fit(slow(), verbose=0).history
    assert 0 < history["doctor/data_wait"][0] <= 1
    assert history["doctor/clips_per_second"][0] > 0


def test_a_lost_run_is_stopped_and_names_its_clips(healthy, tmp_path):
    model, _ = healthy
    for i in range(8):
        wave = np.random.default_rng(i).uniform(-0.5, 0.5, SAMPLES)
        soundfile.write(tmp_path / f"{i}.wav", wave, 16000)
    dataset = pretraining_dataset(
        sorted(tmp_path.iterdir()), 4, sample_rate=16000,
        crop_seconds=SAMPLES / 16000, frontend=model.student.frontend,
    )  # fmt: skip
    kernel = model.student.weights[2]
    good = values([kernel])[0]
    kernel.assign(np.full(kernel.shape, np.nan))
    before = values(model.trainable_variables)
    with pytest.warns(UserWarning, match="the last 3 batches were not finite") as found:
        history = model.fit(
            dataset, epochs=50, verbose=0, callbacks=[Doctor(every=1, patience=3)]
        )
    kernel.assign(good)
    assert len(history.epoch) == 2  # stopped in the second epoch of two batches
    assert np.isnan(history.history["loss"][0])
    (message,) = (str(w.message) for w in found if "stopped" in str(w.message))
    # The third batch: the first of the second epoch.
    rows = dataset.passes.rows(2)[:, 0]
    for index in range(8):
        assert (f"/{index}.wav" in message) == (index in rows)
    assert "asit audit" in message
    after = values(model.trainable_variables)
    np.testing.assert_array_equal(after[0], before[0])


@pytest.mark.large_on_jax
def test_sick_runs_are_warned_of():
    """A teacher at temperature 1, and one that names one class for all."""
    model = pretrainer(local_weight=0.0, global_dim=24)
    hot = EMATeacher(0.9, 0.9, teacher_temperature=1.0, final_teacher_temperature=1.0)
    doctor = Doctor(every=2, persistence=6)
    with pytest.warns(UserWarning, match="all pseudo-classes alike"):
        model.fit(
            clean_views(8), batch_size=4, epochs=25, verbose=0, callbacks=[hot, doctor]
        )
    assert list(doctor.sickness) == ["global: uniform"]


def test_another_model_is_refused():
    classifier = ASiTClassifier(tiny_backbone(num_layers=1), 2)
    classifier.compile(**COMPILED)
    x, y = np.zeros((2, 48, 32), "float32"), np.array([0, 1])
    with pytest.raises(ValueError, match="Expected an ASiTPretrainer"):
        classifier.fit(x, y, verbose=0, callbacks=[Doctor()])
    for wrong in ({"every": 0}, {"patience": 0}, {"persistence": 0.5}):
        with pytest.raises(ValueError, match="a whole number of 1 or more"):
            Doctor(**wrong)
