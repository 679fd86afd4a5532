"""Runs that end early and go on, on a model that compiles in no time.

All batches are alike, so that a run without a position in its data can go on to the
bit; its dropout shows whether the random state does. A whole pretraining is resumed in
`tests/callbacks/test_checkpoint.py`.
"""

import signal
import threading
import time

import keras
import numpy as np
import pytest

from keras_asit import checkpoints
from keras_asit.callbacks import Checkpoint, EMATeacher
from keras_asit.callbacks.progress import Progress
from keras_asit.models import resuming
from keras_asit.optimizers import ScheduledAdamW
from keras_asit.schedules import WarmupCosine
from tiny_asit import clean_views, tiny_backbone, tiny_pretrainer

STEPS, EPOCHS = 4, 2


class Small(keras.Model):
    def __init__(self, dtype=None):
        super().__init__(dtype=dtype)
        self.dense = keras.layers.Dense(2, dtype=dtype)
        self.dropout = keras.layers.Dropout(0.5, dtype=dtype)

    def call(self, x, training=False):
        return self.dropout(self.dense(x), training=training)

    def fit(self, *args, callbacks=(), resume=None, **kwargs):
        callbacks = list(callbacks)
        with resuming.resumed(self, resume, None, callbacks, kwargs):
            return super().fit(*args, callbacks=callbacks, **kwargs)


class Calls(keras.callbacks.Callback):
    """Calls functions at moments: `Calls(on_epoch_end=function)`."""

    def __init__(self, **functions):
        super().__init__()
        for name, function in functions.items():
            setattr(self, name, lambda *args, function=function, **kw: function())


class At(keras.callbacks.Callback):
    """Calls a function when so many steps are done."""

    def __init__(self, step, function):
        super().__init__()
        self.left, self.function = step, function

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            self.function()


def raising(error):
    def function():
        raise error

    return function


def terminate():
    signal.raise_signal(signal.SIGTERM)


def fit(callbacks=(), seed=0, optimizer=None, dtype=None, at_once=1, **arguments):
    keras.utils.set_random_seed(seed)
    model = Small(dtype)
    x = np.tile(np.linspace(-1, 1, 6, dtype="float32").reshape(2, 3), (STEPS, 1))
    model(np.zeros((2, 3)))
    model.compile(
        optimizer or keras.optimizers.Adam(0.1), "mse", steps_per_execution=at_once
    )
    arguments = {"epochs": EPOCHS, "batch_size": 2, "verbose": 0, **arguments}
    model.fit(x, x[:, :2], callbacks=callbacks, shuffle=False, **arguments)
    return model


def state(model):
    return checkpoints.values_of(checkpoints.variables_of(model))


def assert_same(found, expected):
    for one, two in zip(state(found), state(expected), strict=True):
        assert one.tobytes() == two.tobytes()


def keep_until(folder, step):
    """Removes the checkpoints after a step, as if the run had ended there."""
    for path in checkpoints.paths_in(folder):
        if checkpoints.read(path)[0]["step"] > step:
            path.unlink()
    assert checkpoints.read_newest(folder)[1]["step"] == step


def saving(folder):
    """Every step is saved: the next one waits until it is."""
    checkpoint = Checkpoint(folder, every=1, keep=100)
    return [checkpoint, Calls(on_train_batch_end=checkpoint.wait)]


OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "accumulating": lambda: keras.optimizers.Adam(0.1, gradient_accumulation_steps=3),
    "averaging": lambda: keras.optimizers.Adam(
        0.1, use_ema=True, ema_overwrite_frequency=3
    ),
    "scheduled": lambda: ScheduledAdamW(
        WarmupCosine(0.1, 0.0, 8), WarmupCosine(0.1, 0.5, 8), global_clipnorm=0.1
    ),
}


def large(*values):
    return pytest.param(*values, marks=pytest.mark.large)


@pytest.mark.parametrize(
    ("optimizer", "dtype", "step"),
    [
        ("accumulating", None, STEPS + 1),  # 2 of 3 are accumulated
        ("scheduled", "mixed_float16", STEPS + 1),
        *(large(name, None, step) for name in OPTIMIZERS for step in (1, STEPS)),
        large("momentum", None, STEPS + 1),
        large("momentum", "mixed_float16", STEPS + 1),
        large("scheduled", "mixed_bfloat16", STEPS + 1),
        large("momentum", "bfloat16", STEPS + 1),
    ],
)
def test_every_optimizer_and_precision_goes_on(tmp_path, optimizer, dtype, step):
    make = OPTIMIZERS[optimizer]
    whole = fit(saving(tmp_path), optimizer=make(), dtype=dtype)
    keep_until(tmp_path, step)
    arguments = {"seed": 9, "optimizer": make(), "dtype": dtype, "resume": tmp_path}
    resumed = fit(**arguments)
    assert_same(resumed, whole)
    scaled = isinstance(whole.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (dtype == "mixed_float16")


@pytest.mark.large
def test_a_pretraining_in_parts_and_float16_goes_on(tmp_path):
    """Counters and vital signs too; a step was skipped, as its batch was not finite."""
    clips, broken = clean_views(4), clean_views(4)
    broken[0] = np.nan
    views = np.concatenate([broken, clips, clips, clips])

    def run(seed, **arguments):
        keras.utils.set_random_seed(seed)
        backbone = tiny_backbone(num_layers=1, dtype="mixed_float16")
        model = tiny_pretrainer(backbone=backbone, dtype="mixed_float16")
        model.compile(
            keras.optimizers.LossScaleOptimizer(
                ScheduledAdamW(1e-2), initial_scale=8.0
            ),
            jit_compile="auto" if keras.backend.backend() == "jax" else False,
            gradient_accumulation_steps=2,
        )
        teacher = EMATeacher(0.5, total_steps=4)
        callbacks = [teacher, *arguments.pop("callbacks", ())]
        model.fit(
            views, batch_size=4, shuffle=False, verbose=0, callbacks=callbacks,
            **arguments,
        )  # fmt: skip
        return model

    whole = run(0, callbacks=saving(tmp_path), epochs=2)
    assert float(whole.skipped_steps) == 2
    keep_until(tmp_path, STEPS)
    assert_same(run(9, resume=tmp_path, epochs=2), whole)


def test_sigterm_before_the_first_step_waits_for_it(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        fit([Checkpoint(tmp_path), Calls(on_train_batch_begin=terminate)])
    assert ended.value.code == 0
    assert signal.getsignal(signal.SIGTERM) == before
    assert checkpoints.read_newest(tmp_path)[1]["step"] == 1


@pytest.mark.parametrize(
    ("when", "step"), [("on_test_batch_end", STEPS), ("on_train_end", STEPS * EPOCHS)]
)
def test_sigterm_where_no_step_follows(tmp_path, when, step):
    x = np.ones((2, 3), "float32")
    calls = Calls(**{when: terminate})
    with pytest.raises(SystemExit) as ended:
        fit([calls, Checkpoint(tmp_path)], validation_data=(x, x[:, :2]))
    assert ended.value.code == 0
    meta = checkpoints.read_newest(tmp_path)[1]
    assert (meta["step"], meta["epoch"], meta["batches"]) == (step, step // STEPS, 0)


@pytest.mark.large_on_jax
def test_sigterm_with_several_steps_at_once(tmp_path):
    with pytest.raises(SystemExit):
        fit([At(2, terminate), Checkpoint(tmp_path)], at_once=3)
    meta = checkpoints.read_newest(tmp_path)[1]
    assert (meta["step"], meta["epoch"], meta["batches"]) == (STEPS, 1, 0)


@pytest.mark.large_on_jax
def test_a_thread_trains_without_sigterm(tmp_path):
    before, during = signal.getsignal(signal.SIGTERM), []
    looks = Calls(
        on_train_batch_end=lambda: during.append(signal.getsignal(signal.SIGTERM))
    )
    thread = threading.Thread(target=fit, args=([Checkpoint(tmp_path), looks],))
    thread.start()
    thread.join()
    assert set(during) == {before}
    assert checkpoints.read_newest(tmp_path)[1]["step"] == STEPS * EPOCHS


@pytest.mark.large_on_jax
def test_sigterm_tells_of_a_state_that_could_not_be_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(np, "savez", lambda *a, **k: raising(RuntimeError("no"))())
    with pytest.raises(SystemExit) as ended, pytest.warns(UserWarning, match="no"):
        fit([At(2, terminate), Checkpoint(tmp_path)])
    assert ended.value.code == 1


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
def test_an_exception_leaves_no_half_of_anything(tmp_path, monkeypatch, error):
    before, write = signal.getsignal(signal.SIGTERM), np.savez
    monkeypatch.setattr(np, "savez", lambda *a, **k: (time.sleep(0.3), write(*a, **k)))
    with pytest.raises(type(error)):
        fit([Checkpoint(tmp_path, every=1), At(2, raising(error))])
    assert signal.getsignal(signal.SIGTERM) == before
    assert [path.suffix for path in tmp_path.iterdir()] == [".ckpt"]
    assert checkpoints.read_newest(tmp_path)


@pytest.mark.parametrize("error", [RuntimeError, large(OSError), large(MemoryError)])
def test_no_error_of_the_writer_is_lost(tmp_path, monkeypatch, error):
    def half(file, **arrays):
        file.write(b"half")
        raise error("it is full")

    monkeypatch.setattr(np, "savez", half)
    with pytest.warns(UserWarning, match="no checkpoint.*it is full"):
        fit([Checkpoint(tmp_path)])
    assert not list(tmp_path.iterdir())


@pytest.mark.large_on_jax
def test_bfloat16_that_is_not_finite_is_not_saved(tmp_path):
    optimizer = keras.optimizers.SGD(np.inf)
    with pytest.warns(UserWarning, match="not finite"):
        fit([Checkpoint(tmp_path)], optimizer=optimizer, dtype="bfloat16")
    assert not list(tmp_path.glob("*.ckpt"))


@pytest.mark.large_on_jax
def test_epochs_within_which_a_run_goes_on_have_their_length(tmp_path):
    fit(saving(tmp_path))
    keep_until(tmp_path, STEPS + 2)
    with pytest.raises(ValueError, match=r"Expected epochs of 4 steps.*Received: 3"):
        fit(resume=tmp_path, steps_per_epoch=3)
    with pytest.raises(ValueError, match=r"to divide the 2 steps.*Received: 4"):
        fit(resume=tmp_path, at_once=4)
    assert int(fit(resume=tmp_path, at_once=2).optimizer.iterations) == STEPS * EPOCHS


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="such datasets are tf.data's"
)
def test_epochs_of_unknown_length_begin_anew(tmp_path, capsys):
    import tensorflow as tf

    def run(callbacks=(), **arguments):
        x = np.ones((2, 3), "float32")
        batches = tf.data.Dataset.from_tensors((x, x[:, :2])).repeat(STEPS)
        batches = batches.filter(lambda x, y: True)  # of a length that is not known
        model = Small()
        model(np.zeros((2, 3)))
        model.compile("sgd", "mse")
        model.fit(batches, epochs=3, callbacks=callbacks, **arguments)
        return checkpoints.read_newest(tmp_path)[1]

    assert run(saving(tmp_path), verbose=0)["step"] == 3 * STEPS
    keep_until(tmp_path, STEPS + 1)
    meta = run([Checkpoint(tmp_path)], resume=tmp_path, verbose=2)
    assert (meta["step"], meta["epoch"]) == (STEPS + 1 + 2 * STEPS, 3)
    assert meta["repeated"] == 1
    printed = capsys.readouterr().out
    assert "5 steps are done, 1 epochs and 1 batches. The dataset has no pos" in printed


def test_the_teachers_curve_is_that_of_the_run(monkeypatch):
    """An epoch of unknown length that was begun anew counts once in its mean."""
    teacher, written = EMATeacher(), {}
    place = {"step": 23, "batches": 3, "steps_per_epoch": None, "repeated": 0}
    resuming._tell(place, None, [teacher])

    class Weight:
        def __init__(self, name):
            self.assign = lambda value: written.update({name: value})

        def __array__(self, dtype=None, copy=None):
            return np.array(0.0)

    names = [f"momentum_{n}" for n in ("start", "end", "steps", "from_step")]
    model = type("Model", (), {name: Weight(name) for name in names})()
    monkeypatch.setattr(EMATeacher, "_steps_done", lambda self: 23.0)
    teacher.set_model(model)
    teacher.set_params({"epochs": 5})
    monkeypatch.setattr(keras.ops, "convert_to_numpy", np.asarray)
    teacher._set_momentum(2, None)  # 2 epochs of 10, and 3 steps of the third
    assert written["momentum_steps"] == 50
    assert "momentum_from_step" not in written  # it was restored


def test_a_dataset_that_was_trained_on_before_counts_on():
    """Its own position is beyond the steps of this run."""

    class Passes:
        next, steps, is_repeatable, all_are_full = 8, 4, True, True
        state = staticmethod(lambda batches: {"batches": batches})

    dataset = type("Dataset", (), {"passes": Passes()})()
    checkpoint = Checkpoint("unused")
    checkpoint.begin(dataset, progress := Progress())
    progress.begin(4)
    progress.begin_epoch(0)
    progress.end_batch(2)
    assert checkpoint._position() == {"batches": 11}
    Passes.all_are_full = False  # such a pass begins with an epoch
    assert checkpoint._position() == {"batches": 8}
    Passes.is_repeatable = False
    assert checkpoint._position() is None


def test_a_signal_during_the_last_write_is_heard(tmp_path, monkeypatch):
    """Whether it comes before the question whether to end, or after it."""
    before, write = signal.getsignal(signal.SIGTERM), np.savez
    main = threading.main_thread().ident

    def slow(file, **arrays):
        time.sleep(0.1)
        signal.pthread_kill(main, signal.SIGTERM)
        time.sleep(0.1)
        write(file, **arrays)

    monkeypatch.setattr(np, "savez", slow)
    with pytest.raises(SystemExit) as ended:
        fit([Checkpoint(tmp_path)])
    assert ended.value.code == 0
    assert signal.getsignal(signal.SIGTERM) == before
    assert checkpoints.read_newest(tmp_path)[1]["step"] == STEPS * EPOCHS


def test_a_signal_that_no_step_answers_goes_on(tmp_path):
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        with pytest.raises(ValueError, match="mine"):
            fit([Checkpoint(tmp_path), Calls(on_train_batch_begin=terminate),
                 Calls(on_train_batch_begin=raising(ValueError("mine")))])  # fmt: skip
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


def test_a_run_leaves_later_checkpoints_alone(tmp_path):
    """Of another run they are refused; damaged ones get another name."""
    fit(saving(tmp_path / "mine"))
    keep_until(tmp_path / "mine", STEPS)
    later = checkpoints.write(tmp_path / "other", STEPS + 1, [np.zeros(2)], {})
    with pytest.raises(ValueError, match=r"without later checkpoints.*done 4 steps"):
        fit([Checkpoint(tmp_path / "other")], resume=tmp_path / "mine")
    later.rename(tmp_path / "mine" / later.name)
    (tmp_path / "mine" / later.name).write_bytes(b"damaged")
    with pytest.warns(UserWarning, match="now has the name step-0000000005.ckpt.dam"):
        fit([Checkpoint(tmp_path / "mine", every=1, keep=1)], resume=tmp_path / "mine")
    names = sorted(path.name for path in (tmp_path / "mine").iterdir())
    assert names == ["step-0000000005.ckpt.damaged", "step-0000000008.ckpt"]


def test_a_folder_that_cannot_be_written_to_is_refused_at_once(tmp_path):
    (tmp_path / "file").write_text("mine")
    steps = Calls(on_train_batch_begin=raising(AssertionError("it trained")))
    with pytest.raises(OSError, match=r"can write to. Received: .*Not a directory"):
        fit([Checkpoint(tmp_path / "file" / "folder"), steps])


@pytest.mark.parametrize("error", [MemoryError, large(RuntimeError)])
def test_no_memory_or_threads_for_a_save_end_no_run(tmp_path, monkeypatch, error):
    owner, name = {
        MemoryError: (checkpoints, "values_of"),
        RuntimeError: (threading.Thread, "start"),
    }[error]
    with monkeypatch.context() as patch, pytest.warns(UserWarning, match="no more"):
        patch.setattr(owner, name, raising_any(error("no more")))
        model = fit([Checkpoint(tmp_path)])
    assert int(model.optimizer.iterations) == STEPS * EPOCHS


def raising_any(error):
    def function(*args):
        raise error

    return function


def test_the_state_of_another_run_is_refused_before_anything_moves(tmp_path):
    fit(saving(tmp_path))
    steps = Calls(on_train_begin=raising(AssertionError("it trained")))
    for optimizer, dtype, told in (
        (keras.optimizers.AdamW(0.1), None, "AdamW, received Adam"),
        (None, "bfloat16", r"dense/kernel \(3, 2\) bfloat16, received .* float32"),
    ):
        with pytest.raises(ValueError, match=told):
            fit([steps], resume=tmp_path, optimizer=optimizer, dtype=dtype)
    path = checkpoints.paths_in(tmp_path)[0]
    meta, values = checkpoints.read(path)
    model = fit(epochs=1)
    before = state(model)
    other = [[name.replace("dense", "other"), d] for name, d in meta["variables"]]
    with pytest.raises(ValueError, match=r"dense/kernel .*, received .*other/kernel"):
        checkpoints.check(model, {**meta, "variables": other}, values, path)
    with pytest.raises(ValueError, match=f"{len(values)} variables, received 1"):
        checkpoints.check(model, meta, values[:1], path)
    for value, expected in zip(state(model), before, strict=True):
        assert value.tobytes() == expected.tobytes()


def test_checkpoints_without_names_are_compared_by_shapes(tmp_path):
    whole = fit(saving(tmp_path))
    keep_until(tmp_path, STEPS + 1)
    path = checkpoints.paths_in(tmp_path)[0]
    meta, values = checkpoints.read(path)
    meta = {name: v for name, v in meta.items() if name not in ("variables",)}
    meta.pop("optimizer")
    checkpoints.write(tmp_path, STEPS + 1, values, meta)
    assert_same(fit(resume=tmp_path, seed=9), whole)
    values[0] = values[0][:1]
    checkpoints.write(tmp_path, STEPS + 1, values, meta)
    with pytest.raises(ValueError, match=r"\(3, 2\) float32, received .*\(1, 2\)"):
        fit(resume=tmp_path)


def test_a_learning_rate_that_is_a_number_is_restored(tmp_path):
    """As docs/resuming.md says; and how to change it."""
    fit(saving(tmp_path), epochs=1)
    rates = []

    def look():
        rates.append(round(float(model.optimizer.learning_rate), 3))

    class Lower(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.model.optimizer.learning_rate = 0.02

    for callbacks in ([], [Lower()]):
        model = fit(callbacks, optimizer=keras.optimizers.Adam(0.05), resume=tmp_path)
        look()
    assert rates == [0.1, 0.02]
