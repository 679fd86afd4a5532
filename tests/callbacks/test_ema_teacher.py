"""The teacher's schedules, measured on the teacher itself.

The student does not learn here (learning rate 0), so that the distance between
teacher and student shrinks by the momentum of each step: after an epoch it is the
product of the momenta of that epoch's steps.
"""

import keras
import numpy as np
import pytest
from keras import ops

from keras_asit.callbacks import EMATeacher
from tiny_asit import (
    BINS,
    FRAMES,
    clean_views,
    shake,
    student_and_teacher,
    tiny_backbone,
    tiny_pretrainer,
    values,
)

# Keras says so of every source whose length it does not know.
ENDS_EARLY = pytest.mark.filterwarnings("ignore:Your input ran out of data")
CLIPS, SIZE = 6, 2
STEPS = CLIPS // SIZE
COMPILED = {"jit_compile": "auto" if keras.backend.backend() == "jax" else False}


def cosine(step, total, start=0.5, end=1.0):
    progress = min(max(step / total, 0.0), 1.0)
    return end + 0.5 * (start - end) * (1 + np.cos(np.pi * progress))


class Recorder(keras.callbacks.Callback):
    """Momentum (a product over the epoch's steps) and temperature of each epoch."""

    def on_train_begin(self, logs=None):
        student, teacher = student_and_teacher(self.model)
        self.student, self.teacher = student[0], teacher[0]
        shake([self.teacher], scale=1.0)
        self.distance = self._distance()
        self.shrunk, self.temperatures = [], []

    def _distance(self):
        ours, theirs = values([self.student, self.teacher])
        return np.linalg.norm(ours.astype("float64") - theirs)

    def on_epoch_end(self, epoch, logs=None):
        before, self.distance = self.distance, self._distance()
        self.shrunk.append(self.distance / before)
        temperature = ops.convert_to_numpy(self.model.teacher_temperature)
        self.temperatures.append(float(temperature))


@pytest.fixture(scope="module")
def model():
    """Reconstruction alone: the teacher's backbone follows all the same."""
    keras.utils.set_random_seed(0)
    pretrainer = tiny_pretrainer(
        backbone=tiny_backbone(num_layers=1),
        corruption=False,
        local_weight=0.0,
        global_weight=0.0,
    )
    pretrainer.compile(optimizer=keras.optimizers.SGD(0.0), **COMPILED)
    return pretrainer


def record(model, callback=None, source=None, **fit_arguments):
    """Fits and returns the recorder; by default on arrays of a known length."""
    source = source or {"x": clean_views(CLIPS), "batch_size": SIZE}
    recorder = Recorder()
    callbacks = [recorder] if callback is None else [callback, recorder]
    model.fit(**source, callbacks=callbacks, verbose=0, shuffle=False, **fit_arguments)
    return recorder


def batches():
    """A generator: Keras cannot know its length."""
    views = clean_views(CLIPS)
    for start in range(0, CLIPS, SIZE):
        yield (views[start : start + SIZE],)


def products(first_step, total, epochs, steps=STEPS, **curve):
    """Products of the momenta, one an epoch, by numpy."""
    momenta = [cosine(first_step + i, total, **curve) for i in range(epochs * steps)]
    return np.prod(np.reshape(momenta, (epochs, steps)), axis=1)


def test_momentum_is_a_cosine_over_the_steps_of_the_run(model):
    found = record(model, EMATeacher(0.5), epochs=2)
    np.testing.assert_allclose(found.shrunk, products(0, 6, 2), rtol=1e-4)
    # A mere constant per epoch would give another product.
    assert abs(found.shrunk[0] - cosine(0, 6) ** 3) > 0.03


def test_second_fit_starts_the_curve_anew(model):
    assert float(ops.convert_to_numpy(model.steps_done)) > 0
    found = record(model, EMATeacher(0.2, 0.8), epochs=1)
    expected = products(0, 3, 1, start=0.2, end=0.8)
    np.testing.assert_allclose(found.shrunk, expected, rtol=1e-4)


def test_resumed_run_goes_on_where_the_curve_was(model):
    found = record(model, EMATeacher(0.5), epochs=3, initial_epoch=1)
    np.testing.assert_allclose(found.shrunk, products(3, 9, 2), rtol=1e-4)


def test_steps_of_a_generator_can_be_told(model):
    source = {"x": batches(), "steps_per_epoch": STEPS}
    found = record(model, EMATeacher(0.5), source, epochs=1)
    np.testing.assert_allclose(found.shrunk, products(0, 3, 1), rtol=1e-4)


@ENDS_EARLY
def test_total_steps_can_be_told(model):
    teacher = EMATeacher(0.5, total_steps=12)
    found = record(model, teacher, {"x": batches()}, epochs=1)
    np.testing.assert_allclose(found.shrunk, products(0, 12, 1), rtol=1e-4)


@ENDS_EARLY
@pytest.mark.parametrize("total_steps", [12, None])
def test_resumed_run_of_unknown_length_goes_on_where_the_curve_was(model, total_steps):
    """The steps done are counted; without a total they tell those of an epoch."""
    record(model, EMATeacher(0.5), {"x": batches()}, epochs=1)
    found = record(
        model,
        EMATeacher(0.5, total_steps=total_steps),
        {"x": batches()},
        epochs=2,
        initial_epoch=1,
    )
    expected = products(STEPS, total_steps or 2 * STEPS, 1)
    np.testing.assert_allclose(found.shrunk, expected, rtol=1e-4)


@ENDS_EARLY
def test_data_of_unknown_length_waits_for_the_second_epoch(model):
    tf = pytest.importorskip("tensorflow", reason="tf.data needs TensorFlow")
    spec = (tf.TensorSpec((SIZE, 2, FRAMES, BINS), "float32"),)
    data = tf.data.Dataset.from_generator(batches, output_signature=spec)
    before = float(ops.convert_to_numpy(model.steps_done))
    found = record(model, EMATeacher(0.5), {"x": data}, epochs=2)
    assert float(ops.convert_to_numpy(model.steps_done)) == before + 2 * STEPS
    expected = [0.5**STEPS, products(STEPS, 2 * STEPS, 1)[0]]
    np.testing.assert_allclose(found.shrunk, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("warmup", "epochs", "expected"),
    [
        (3, 5, [0.04, 0.055, 0.07, 0.07, 0.07]),
        (30, 3, [0.04, 0.055, 0.07]),  # shorter than the warm-up: clipped to the run
        (30, 1, [0.04]),
        (1, 2, [0.04, 0.07]),
    ],
)
def test_temperature_is_a_line_over_the_first_epochs(model, warmup, epochs, expected):
    found = record(model, EMATeacher(temperature_epochs=warmup), epochs=epochs)
    np.testing.assert_allclose(found.temperatures, expected, rtol=1e-5)


def test_fit_adds_the_papers_teacher(model):
    found = record(model, epochs=2)
    expected = products(0, 6, 2, start=0.996)
    np.testing.assert_allclose(found.shrunk, expected, rtol=1e-4)
    np.testing.assert_allclose(found.temperatures, [0.04, 0.07], rtol=1e-5)


def test_fit_takes_a_single_callback(model):
    source = {"x": clean_views(CLIPS), "batch_size": SIZE}
    model.fit(**source, callbacks=EMATeacher(0.25), verbose=0)
    assert float(ops.convert_to_numpy(model.momentum_start)) == 0.25


def test_only_a_pretrainer_has_a_teacher():
    other = keras.Sequential([keras.layers.Dense(1)])
    other.compile(optimizer="sgd", loss="mse", run_eagerly=True)
    with pytest.raises(ValueError, match=r"received Sequential. Pass it to ASiTPre"):
        other.fit(np.zeros((2, 1)), np.zeros(2), callbacks=[EMATeacher()], verbose=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"momentum": 1.1}, r"momentum is in \[0, 1\]; received 1.1"),
        ({"momentum": float("nan")}, r"received nan\. Give for example 0.996"),
        ({"final_momentum": -0.1}, r"final_momentum is in \[0, 1\]"),
        ({"final_momentum": "1"}, r"final_momentum is in \[0, 1\]; received '1'"),
        ({"teacher_temperature": 0.0}, "temperatures are positive; received 0.0"),
        (
            {"final_teacher_temperature": float("nan")},
            r"received 0.04 and nan\. Give for example 0.04 and 0.07",
        ),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        EMATeacher(**arguments)
