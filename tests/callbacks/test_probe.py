"""Probes by the way: their numbers, who sees them, and that training is the same."""

import csv
import math

import keras
import numpy as np
import pytest

import keras_asit
from keras_asit.callbacks import Probe
from keras_asit.models import ASiTClassifier
from tiny_asit import RATE, SAMPLES, clean_views, tiny_backbone, values

COMPILED = {"jit_compile": "auto" if keras.backend.backend() == "jax" else False}

NAMES = ["probe/knn_accuracy", "probe/linear_accuracy"]


def tones(clips, seed):
    """Waveforms of low and high tones in noise, and which they are."""
    rng = np.random.default_rng(seed)
    labels = np.arange(clips) % 2
    time = np.arange(SAMPLES) / RATE
    pitch = np.where(labels, 2500.0, 400.0) * rng.uniform(0.9, 1.1, clips)
    waves = 0.3 * np.sin(2 * np.pi * pitch[:, None] * time)
    return (waves + 0.01 * rng.normal(size=waves.shape)).astype("float32"), labels


def fit(model, *callbacks, epochs=3, **arguments):
    arguments = {"batch_size": 2, "verbose": 0, "shuffle": False, **arguments}
    return model.fit(clean_views(8), callbacks=[*callbacks], epochs=epochs, **arguments)


def probe(**arguments):
    (train, y), (test, z) = tones(6, 0), tones(6, 1)
    return Probe((train, y), (test, z), **{"k": 3, "every": 2, **arguments})


@pytest.fixture(autouse=True)
def fixed_seeds():
    """Not before each test: TensorFlow would trace the step anew in each."""


@pytest.fixture(scope="module")
def run(compiled, tmp_path_factory):
    """3 epochs with the CSVLogger named before the probe."""
    path = tmp_path_factory.mktemp("run") / "log.csv"
    model, probing, begin_anew = compiled[0], probe(), compiled[1]
    begin_anew()
    log = keras.callbacks.CSVLogger(path)
    history = fit(model, log, probing).history
    return model, probing, history, path, begin_anew


def test_the_numbers_are_those_of_the_teacher(run):
    model, _, history, *_ = run
    (train, y), (test, z) = tones(6, 0), tones(6, 1)
    arrays = keras_asit.embed(model, train, RATE), y
    arrays += keras_asit.embed(model, test, RATE), z
    found = [history[name][-1] for name in NAMES]
    assert found == [
        keras_asit.evaluation.knn_accuracy(*arrays, k=3),
        keras_asit.evaluation.linear_probe(*arrays),
    ]


def test_epochs_between_have_none(run):
    """Of 3 epochs, every second is probed, and the last."""
    _, _, history, *_ = run
    for name in NAMES:
        assert [math.isnan(value) for value in history[name]] == [True, False, False]


def test_a_csv_logger_named_before_has_all(run):
    _, _, history, path, _ = run
    rows = list(csv.DictReader(path.open()))
    assert {*history, "epoch"} <= rows[0].keys()
    for name in (*NAMES, "loss", "doctor/gradient_norm", "doctor/clips_per_second"):
        found = [float(row[name]) for row in rows]
        np.testing.assert_allclose(found, history[name], rtol=1e-6)
    assert rows[0][NAMES[0]] == "nan"


def test_training_is_the_same_without(run):
    model, probing, history, _, begin_anew = run
    after = values(model.weights)
    begin_anew()
    assert probing.measure() == probing.baseline
    assert fit(model).history["loss"] == history["loss"]
    for found, expected in zip(values(model.weights), after):
        np.testing.assert_array_equal(found, expected)


def test_a_csv_of_a_resumed_run_goes_on_in_its_columns(run, tmp_path):
    """The last epoch of the first part is probed, the first of the second is not."""
    model, *_ = run
    distances = []
    for first, last in ((0, 2), (2, 4)):
        log = keras.callbacks.CSVLogger(tmp_path / "log.csv", append=True)
        history = fit(model, log, probe(), initial_epoch=first, epochs=last).history
        distances += history["doctor/teacher_distance"]
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert [row["epoch"] for row in rows] == ["0", "1", "2", "3"]
    probed = [row[NAMES[1]] != "nan" for row in rows]
    assert probed == [False, True, False, True]
    assert [float(row["doctor/teacher_distance"]) for row in rows] == distances
    assert all(None not in row and None not in row.values() for row in rows)


def test_the_bar_shows_it(run, capsys):
    model, *_ = run
    fit(model, probe(every=2), epochs=2, verbose=2)
    first, second = capsys.readouterr().out.splitlines()[1::2]
    assert "probe" not in first
    assert second.count("- probe/knn_accuracy: ") == 1
    assert "nan" not in second


def test_an_error_is_a_warning_once_training_goes(run, monkeypatch):
    model, *_ = run

    def measure(self):
        if self.baseline is None:
            return dict.fromkeys(["knn_accuracy", "linear_accuracy"], 0.5)
        raise OSError("the disk is gone")

    monkeypatch.setattr(Probe, "measure", measure)
    with pytest.warns(UserWarning, match="Probe: no probe: OSError: the disk is gone"):
        history = fit(model, probe(every=1), epochs=2).history
    assert len(history["loss"]) == 2
    assert np.isnan(history[NAMES[0]]).all()


def test_what_cannot_be_probed_is_told_at_once(run):
    model, *_ = run
    with pytest.raises(ValueError, match="1 to the 6 training clips"):
        fit(model, probe(k=7))
    several = np.ones((6, 2))
    with pytest.raises(ValueError, match="one class a clip"):
        fit(model, Probe((tones(6, 0)[0], several), tones(6, 1)))
    for wrong in ({"every": 0}, {"k": 0}, {"pooling": "max"}):
        with pytest.raises(ValueError):
            probe(**wrong)


@pytest.mark.large
def test_a_classifier_can_be_probed():
    model = ASiTClassifier(tiny_backbone(num_layers=1), 2)
    model.compile(**COMPILED)
    x, y = np.zeros((2, 48, 32), "float32"), np.array([0, 1])
    history = model.fit(x, y, verbose=0, callbacks=[probe()]).history
    assert history[NAMES[1]][0] > 0.5
