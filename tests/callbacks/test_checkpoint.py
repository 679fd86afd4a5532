"""Runs that end early, in this process; `kill -9` is in `test_killed_runs.py`."""

import os
import signal

import keras
import numpy as np
import pytest

from drivers import short_run
from drivers.short_run import STEPS, run, state
from keras_asit import checkpoints
from keras_asit.callbacks import Checkpoint
from keras_asit.models import ASiTClassifier
from tiny_asit import clean_views, tiny_backbone, values

TOTAL = short_run.STEPS * short_run.EPOCHS


class Interrupted(Exception):
    pass


class At(keras.callbacks.Callback):
    """Calls a function after so many steps."""

    def __init__(self, step, function):
        super().__init__()
        self.left, self.function = step, function

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            self.function(self.model)


def interrupt(model):
    raise Interrupted


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    return short_run.write_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def whole(paths):
    """The state at the end of a run that nothing disturbs."""
    return state(run(paths))


@pytest.mark.parametrize(
    "step",
    [
        STEPS + 2,
        *(pytest.param(s, marks=pytest.mark.large) for s in (1, 2 * STEPS, TOTAL - 1)),
    ],
)
def test_an_interrupted_run_ends_as_if_it_had_not_been(paths, whole, tmp_path, step):
    """Another process would begin with other weights: the seed is another."""
    saving = Checkpoint(tmp_path, every=1)
    with pytest.raises(Interrupted):
        run(paths, [saving, At(step, interrupt)], resume=tmp_path)
    saving.wait()
    assert checkpoints.paths_in(tmp_path)
    resumed = run(paths, [Checkpoint(tmp_path)], seed=9, resume=tmp_path)
    for found, expected in zip(state(resumed), whole, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert checkpoints.read_newest(tmp_path)[1]["step"] == TOTAL


@pytest.mark.large
def test_a_damaged_checkpoint_costs_its_steps_only(paths, whole, tmp_path):
    with pytest.raises(Interrupted):
        saving = Checkpoint(tmp_path, every=2)
        run(paths, [saving, At(STEPS + 2, interrupt)])
    saving.wait()
    newest = checkpoints.paths_in(tmp_path)[0]
    newest.write_bytes(newest.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="is damaged.*Going back"):
        resumed = run(paths, seed=9, resume=tmp_path)
    for found, expected in zip(state(resumed), whole, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.large
def test_a_finished_run_is_resumed_to_nothing(paths, whole, tmp_path):
    run(paths, [Checkpoint(tmp_path)])
    resumed = run(paths, seed=9, resume=tmp_path)
    for found, expected in zip(state(resumed), whole, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.large_on_jax
def test_sigterm_saves_and_ends_well(paths, tmp_path):
    def terminate(model):
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        run(paths, [At(3, terminate), Checkpoint(tmp_path)])
    assert ended.value.code == 0
    assert signal.getsignal(signal.SIGTERM) == before
    assert checkpoints.read_newest(tmp_path)[1]["step"] in (3, 4)


@pytest.mark.large
def test_validation_leaves_no_trace(paths, whole, tmp_path):
    """It draws masks, too; here it is cut short, and the run goes on behind it."""

    class Terminate(keras.callbacks.Callback):
        def on_test_batch_end(self, batch, logs=None):
            os.kill(os.getpid(), signal.SIGTERM)

    arguments = {"validation_data": clean_views(4), "resume": tmp_path}
    with pytest.raises(SystemExit):
        run(paths, [Terminate(), Checkpoint(tmp_path)], **arguments)
    assert checkpoints.read_newest(tmp_path)[1]["step"] == STEPS
    resumed = run(paths, seed=9, **arguments)
    for found, expected in zip(state(resumed), whole, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.large_on_jax
def test_weights_that_are_not_finite_are_not_saved(paths, tmp_path):
    def spoil(model):
        model.student.weights[0].assign(np.nan * values(model.student.weights)[0])

    with pytest.warns(UserWarning, match="not finite"):
        run(paths, [At(3, spoil), Checkpoint(tmp_path, every=1, keep=20)])
    steps = [checkpoints.read(p)[0]["step"] for p in checkpoints.paths_in(tmp_path)]
    assert steps and max(steps) <= 3


@pytest.mark.large
def test_a_full_disk_does_not_end_a_run(paths, tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "write", full)
    with pytest.warns(UserWarning, match="No space left on device"):
        run(paths, [Checkpoint(tmp_path)])


@pytest.mark.large
def test_the_newest_are_kept(paths, tmp_path):
    run(paths, [Checkpoint(tmp_path, every=1, keep=2)])
    found = checkpoints.paths_in(tmp_path)
    assert len(found) == 2
    assert checkpoints.read(found[0])[0]["step"] == TOTAL
    assert not list(tmp_path.glob("*.part"))


def test_another_model_is_refused(paths, tmp_path):
    checkpoints.write(tmp_path, 3, [np.zeros(2)], {"epoch": 0, "batches": 3, "data": 0})
    with pytest.raises(ValueError, match="the state of this model and optimizer"):
        run(paths, resume=tmp_path)
    with pytest.raises(ValueError, match="Expected the folder of a Checkpoint"):
        run(paths, resume=__file__)


@pytest.mark.large
def test_a_classifier_goes_on_too(tmp_path):
    """Of arrays the epoch that was under way begins anew."""
    features = np.random.default_rng(0).normal(size=(4, 48, 32)).astype("float32")
    targets = np.array([0, 1, 0, 1])

    def fit(seed, epochs, **arguments):
        keras.utils.set_random_seed(seed)
        classifier = ASiTClassifier(tiny_backbone(num_layers=1), 2)
        classifier.compile(
            keras.optimizers.Adam(1e-3),
            jit_compile="auto" if keras.backend.backend() == "jax" else False,
        )
        callbacks = [Checkpoint(tmp_path)] if arguments else []
        classifier.fit(
            features, targets, batch_size=2, shuffle=False, verbose=0, epochs=epochs,
            callbacks=callbacks, **arguments,
        )  # fmt: skip
        return state(classifier)

    fit(0, 1, resume=tmp_path)
    found = fit(9, 3, resume=tmp_path)
    for value, expected in zip(found, fit(0, 3), strict=True):
        np.testing.assert_array_equal(value, expected)


def test_a_model_that_is_not_compiled_is_refused():
    with pytest.raises(ValueError, match="Expected a compiled model"):
        checkpoints.variables_of(ASiTClassifier(tiny_backbone(num_layers=1), 2))


def test_a_new_run_does_not_mix_with_another(paths, tmp_path):
    """The checkpoints of the other would count as the newer ones."""
    path = checkpoints.write(tmp_path, 99, [np.zeros(2)], {"batches": 3})
    with pytest.raises(ValueError, match="without checkpoints for a new run"):
        run(paths, [Checkpoint(tmp_path)])
    path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"a checkpoint that can be read.*is damaged"):
        run(paths, [Checkpoint(tmp_path)], resume=tmp_path)


def test_wrong_arguments(tmp_path):
    for wrong in ({"every": 0}, {"keep": 0.5}):
        with pytest.raises(ValueError, match="a whole number of 1 or more"):
            Checkpoint(tmp_path, **wrong)
