"""What `fit` makes of the datasets, and what they need installed."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_asit.data import labelled_dataset, pretraining_dataset
from keras_asit.data.examples import ClipExamples

SHORT = {"sample_rate": 8000, "seconds": 0.25}


def classifier(**kwargs):
    model = keras.Sequential(
        [keras.Input((16, 128)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, metrics=["accuracy"], **kwargs)
    return model


@pytest.fixture
def epochs_drawn(monkeypatch):
    """The epochs that clips were drawn for, each once, in order."""
    drawn, rows = [], ClipExamples.rows

    def recorded(self, epoch):
        if epoch not in drawn:
            drawn.append(epoch)
        return rows(self, epoch)

    monkeypatch.setattr(ClipExamples, "rows", recorded)
    return drawn


def test_fit_evaluate_and_predict(write_manifest, epochs_drawn):
    path = write_manifest(9)
    model = classifier()
    train = labelled_dataset(path, 4, training=True, **SHORT)
    history = model.fit(train, epochs=3, verbose=0)
    assert epochs_drawn == [0, 1, 2]
    test = labelled_dataset(path, 4, **SHORT)
    model.fit(train, validation_data=test, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert np.isfinite(model.evaluate(test, verbose=0)).all()
    assert model.predict(test, verbose=0).shape == (9, 2)


def test_fit_on_views(write_clips):
    class Average(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, views):
            loss = self.dense(keras.ops.mean(views, axis=(1, 2)))
            self.add_loss(keras.ops.mean(loss))
            return loss

    model = Average()
    model.compile("sgd")
    dataset = pretraining_dataset(
        write_clips(6), 3, sample_rate=8000, crop_seconds=0.25
    )
    history = model.fit(dataset, epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_fit_stops_with_the_reason(write_manifest):
    dataset = labelled_dataset(
        write_manifest(20, broken=[2, 4]), 4, training=True, **SHORT
    )
    with pytest.raises(Exception, match="2 of 20 clips could not be read"):
        classifier().fit(dataset, verbose=0)


def trained(path, random_seed, **options):
    """Weights after training on the same data from zeros, on the way `fit` goes."""
    keras.utils.set_random_seed(random_seed)
    model = classifier()
    model.layers[-1].kernel.assign(np.zeros((16 * 128, 2)))
    data = labelled_dataset(path, 2, training=True, **SHORT)
    model.fit(data, verbose=0, **options)
    return keras.ops.convert_to_numpy(model.layers[-1].kernel)


def test_fit_keeps_the_order_of_the_seed(write_manifest, epochs_drawn):
    """With its own shuffling, which is on by default and follows a global seed."""
    path = write_manifest(9)
    expected = trained(path, 1, epochs=3, shuffle=False)
    for random_seed in (2, 3):
        np.testing.assert_array_equal(trained(path, random_seed, epochs=3), expected)
    assert epochs_drawn == [0, 1, 2]


def test_a_pass_goes_on_in_the_next_steps_per_epoch(write_manifest):
    path = write_manifest(9)
    parts = trained(path, 1, epochs=2, steps_per_epoch=2)
    np.testing.assert_array_equal(parts, trained(path, 2, epochs=1))


def test_jax_needs_no_tensorflow(write_manifest):
    script = f"""
import sys
sys.modules["tensorflow"] = None
from keras_asit.data import labelled_dataset, pretraining_dataset
from keras_asit.data.examples import ClipExamples
path = {str(write_manifest(4))!r}
for x, y in labelled_dataset(path, 2, sample_rate=8000, seconds=0.25):
    assert x.shape == (2, 16, 128), x.shape
for views in pretraining_dataset(path, 2, sample_rate=8000, crop_seconds=0.25):
    assert views.shape == (2, 2, 16, 128), views.shape
"""
    result = in_a_process(script, "jax")
    assert result.returncode == 0, result.stderr


@pytest.mark.large_on_jax
def test_a_program_that_ends_in_an_error_ends(write_clips):
    """An iterator that an error leaves behind must not hold the program up."""
    script = f"""
import time
from keras_asit.data import pretraining, pretraining_dataset
crop = pretraining.rotated_part
pretraining.rotated_part = lambda *given: time.sleep(0.005) or crop(*given)
paths = {[str(path) for path in write_clips(6)]!r} * 200
views = iter(pretraining_dataset(paths, 32, sample_rate=8000, crop_seconds=0.25))
next(views)
raise RuntimeError("the user's own")
"""
    result = in_a_process(script, keras.backend.backend(), timeout=60)
    assert result.returncode == 1
    assert result.stderr.strip().endswith("RuntimeError: the user's own")


def in_a_process(script, backend, timeout=None):
    root = os.path.join(os.path.dirname(__file__), "..", "..")
    environment = {"KERAS_BACKEND": backend, "PYTHONPATH": os.path.abspath(root)}
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
