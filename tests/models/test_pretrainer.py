"""The pretrainer: what it logs, what it moves, what it keeps, and that it learns."""

import warnings

import keras
import numpy as np
import pytest
from keras import ops

from keras_asit.audio import LogMelFilterbank
from keras_asit.layers import RandomFilter, RandomResizedCrop
from keras_asit.models import ASiTClassifier, ASiTPretrainer
from keras_asit.models.views import check_views
from keras_asit.optimizers import ScheduledAdamW
from tiny_asit import (
    BINS,
    FRAMES,
    PATCH,
    PATCHES,
    SAMPLES,
    LoudPixels,
    clean_views,
    shake,
    student_and_teacher,
    tiny_backbone,
    tiny_pretrainer,
    values,
    waveforms,
)

PARTS = ("reconstruction", "local", "global")
LOGS = {"loss", "reconstruction_loss", "local_loss", "global_loss"}
# XLA compiles slowly and is not the point here; on JAX a step is always compiled.
COMPILED = {"jit_compile": "auto" if keras.backend.backend() == "jax" else False}


def losses_of(history):
    """What the logs have beside the doctor's vital signs."""
    return {name for name in history if not name.startswith("doctor/")}


def numbers(tensors):
    return {name: float(ops.convert_to_numpy(x)) for name, x in tensors.items()}


# --- The three losses and one step, recomputed with numpy -------------------------


def log_softmax(x):
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def cross_entropy(teacher, student, center, teacher_temperature):
    """H(p_t, p_s) of Equations 3 to 6, in float64."""
    target = np.exp(log_softmax((teacher - center) / teacher_temperature))
    return -(target * log_softmax(student / 0.1)).sum(axis=-1)


def outputs_of_parts(pretrainer, clean, threshold):
    """What the sub-networks say of `(B, 2, T, F)`, each called by itself, float64."""
    flat = clean.reshape(-1, FRAMES, BINS)
    mask = (flat > threshold).astype("float32")
    seen = pretrainer.student(flat * (1 - mask), training=False)
    target = pretrainer.teacher(flat, training=False)
    found = {"flat": flat, "mask": mask}
    if "reconstruction" in pretrainer.parts:
        found["painted"] = pretrainer.reconstruction_head(seen[:, 1:])
    for part in pretrainer.student_heads:
        where = slice(1, None) if part == "local" else 0
        found[f"{part}_s"] = pretrainer.student_heads[part](seen[:, where])
        found[f"{part}_t"] = pretrainer.teacher_heads[part](target[:, where])
        found[f"{part}_c"] = pretrainer.centers[part]
    return {
        name: np.asarray(ops.convert_to_numpy(x), "float64")
        for name, x in found.items()
    }


def changed_share(mask):
    """Share of the changed pixels of each patch, `(N, P)`, by plain loops."""
    share = np.zeros((len(mask), PATCHES))
    for n in range(len(mask)):
        for patch in range(PATCHES):
            row, column = divmod(patch, BINS // PATCH)
            rows = slice(row * PATCH, (row + 1) * PATCH)
            columns = slice(column * PATCH, (column + 1) * PATCH)
            share[n, patch] = mask[n, rows, columns].mean()
    return share


def losses_by_hand(pretrainer, clean, threshold=0.3, changed_threshold=0.0):
    found = outputs_of_parts(pretrainer, clean, threshold)
    tau = float(ops.convert_to_numpy(pretrainer.teacher_temperature))
    error = np.abs(found["flat"] - found["painted"])
    entropy = cross_entropy(found["local_t"], found["local_s"], found["local_c"], tau)
    changed = changed_share(found["mask"]) > changed_threshold
    assert 0.2 < changed.mean() < 0.9  # some tokens count and some do not
    teacher = found["global_t"].reshape(-1, 2, found["global_t"].shape[-1])
    student = found["global_s"].reshape(teacher.shape)
    center = found["global_c"]
    crossed = [
        cross_entropy(teacher[:, 0], student[:, 1], center, tau),
        cross_entropy(teacher[:, 1], student[:, 0], center, tau),
    ]
    return {
        "reconstruction": (error * found["mask"]).sum() / found["mask"].sum(),
        "local": entropy[changed].mean(),
        "global": np.mean(crossed),
    }


@pytest.fixture(scope="module")
def one_step():
    """A pretrainer with weights that are not trivial, before and after one step."""
    keras.utils.set_random_seed(1)
    model = tiny_pretrainer(
        corruption_layer=LoudPixels(),
        drop_path=0.0,
        reconstruction_weight=2.0,
        local_weight=0.5,
        global_weight=1.5,
    )
    shake(model.weights)
    for name, value in {
        "steps_done": 3.0,
        "momentum_start": 0.6,
        "momentum_end": 1.0,
        "momentum_from_step": 1.0,
        "momentum_steps": 8.0,
        "teacher_temperature": 0.05,
    }.items():
        getattr(model, name).assign(value)
    model.compile(optimizer=ScheduledAdamW(1e-2, global_clipnorm=3.0), **COMPILED)
    views = clean_views(6)
    student, teacher = student_and_teacher(model)
    record = {"model": model, "views": views, "by_hand": losses_by_hand(model, views)}
    record["teacher_before"] = values(teacher)
    record["student_before"] = values(student)
    record["centers_before"] = {k: values([v])[0] for k, v in model.centers.items()}
    record["outputs"] = outputs_of_parts(model, views, 0.3)
    record["called"] = numbers(model(views))
    record["logs"] = model.train_on_batch(views, return_dict=True)
    record["teacher_after"] = values(teacher)
    record["student_after"] = values(student)
    record["centers_after"] = {k: values([v])[0] for k, v in model.centers.items()}
    return record


@pytest.mark.parametrize("part", PARTS)
def test_losses_are_those_of_numpy(one_step, part):
    by_hand = one_step["by_hand"][part]
    assert by_hand > 0.05
    np.testing.assert_allclose(one_step["called"][part], by_hand, rtol=1e-5)
    # The logs of a step: before the update, with the centre as it was.
    np.testing.assert_allclose(one_step["logs"][f"{part}_loss"], by_hand, rtol=1e-5)


def test_loss_is_the_weighted_sum(one_step):
    logs = one_step["logs"]
    assert set(logs) == LOGS
    total = (
        2.0 * logs["reconstruction_loss"]
        + 0.5 * logs["local_loss"]
        + 1.5 * logs["global_loss"]
    )
    np.testing.assert_allclose(logs["loss"], total, rtol=1e-6)


def test_teacher_is_the_moving_average_of_every_weight(one_step):
    # Step 3 of a curve that began at step 1 and is 8 steps long.
    momentum = 1.0 + 0.5 * (0.6 - 1.0) * (1.0 + np.cos(np.pi * 2 / 8))
    model = one_step["model"]
    heads = [model.student, *model.student_heads.values()]
    assert len(one_step["teacher_before"]) == sum(len(h.weights) for h in heads)
    moved = 0.0
    for before, after, student in zip(
        one_step["teacher_before"],
        one_step["teacher_after"],
        one_step["student_after"],
        strict=True,
    ):
        expected = momentum * before + (1 - momentum) * student
        np.testing.assert_allclose(after, expected, rtol=1e-5, atol=1e-7)
        moved = max(moved, np.abs(after - before).max())
    assert moved > 1e-2
    assert float(ops.convert_to_numpy(model.steps_done)) == 4.0


def test_center_follows_the_mean_of_all_teacher_logits(one_step):
    for part, before in one_step["centers_before"].items():
        assert np.abs(before).max() > 1e-3
        logits = one_step["outputs"][f"{part}_t"]
        mean = logits.reshape(-1, logits.shape[-1]).mean(axis=0)
        np.testing.assert_allclose(
            one_step["centers_after"][part], 0.9 * before + 0.1 * mean, atol=1e-6
        )


def test_balanced_centers_follow_the_use_of_the_pseudo_classes():
    model = tiny_pretrainer(centering="balanced", corruption_layer=LoudPixels())
    shake(model.weights)
    views, tau = clean_views(6), float(ops.convert_to_numpy(model.teacher_temperature))
    outputs = outputs_of_parts(model, views, 0.3)
    model(views, training=True)
    for part, center in model.centers.items():
        before, logits = outputs[f"{part}_c"], outputs[f"{part}_t"]
        named = np.exp(log_softmax((logits - before) / tau))
        use = named.reshape(-1, len(before)).mean(axis=0) * len(before)
        assert use.max() > 2
        use = np.minimum(use, 10)
        expected = before + 0.1 * tau * (use - use.mean())
        np.testing.assert_allclose(values([center])[0], expected, atol=1e-6)


def test_every_weight_of_the_student_learns(one_step):
    for before, after in zip(
        one_step["student_before"], one_step["student_after"], strict=True
    ):
        assert np.abs(after - before).max() > 1e-6


def test_teacher_is_outside_the_optimizer(one_step):
    model = one_step["model"]
    student, teacher = student_and_teacher(model)
    trained = {id(variable) for variable in model.trainable_variables}
    assert {id(variable) for variable in student} <= trained
    assert not {id(variable) for variable in teacher} & trained
    # Two moments for each trained weight, a step counter and the learning rate.
    assert len(model.optimizer.variables) == 2 * len(trained) + 2
    assert len(trained) == len(student) + len(model.reconstruction_head.weights)


def test_each_weight_has_one_place(one_step):
    """Only centres, schedule and vital signs belong to the pretrainer itself."""
    model = one_step["model"]
    inside = {id(w) for layer in model.layers for w in layer.weights}
    own = [w for w in model.weights if id(w) not in inside]
    assert len(own) == 2 + 6 + 3
    store = {}
    model.save_own_variables(store)
    assert len(store) == len(own)


def test_saved_and_loaded_to_the_bit(one_step, tmp_path):
    model = one_step["model"]
    model.save(tmp_path / "model.keras")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.options == model.options
    assert loaded.profile == model.profile
    for ours, theirs in (
        (model.weights, loaded.weights),
        (model.optimizer.variables, loaded.optimizer.variables),
    ):
        for a, b in zip(values(ours), values(theirs), strict=True):
            np.testing.assert_array_equal(a, b)
    assert float(ops.convert_to_numpy(loaded.steps_done)) == 4.0
    assert loaded.optimizer.global_clipnorm == 3.0
    views = one_step["views"]
    assert numbers(loaded(views)) == numbers(model(views))

    model.save_weights(tmp_path / "model.weights.h5")
    fresh = ASiTPretrainer.from_config(model.get_config())
    assert numbers(fresh(views)) != numbers(model(views))
    fresh.load_weights(tmp_path / "model.weights.h5")
    for a, b in zip(values(model.weights), values(fresh.weights), strict=True):
        np.testing.assert_array_equal(a, b)


# --- fit: whatever holds the views ------------------------------------------------


class Batches(keras.utils.PyDataset):
    def __init__(self, views, size):
        super().__init__()
        self.views, self.size = views, size

    def __len__(self):
        return len(self.views) // self.size

    def __getitem__(self, i):
        return (self.views[i * self.size : (i + 1) * self.size],)


def as_source(kind, views, size):
    """The arguments of `fit` for the same views from another source."""
    if kind == "numpy":
        return {"x": views, "batch_size": size}
    if kind == "generator":
        return {"x": (batch for batch in Batches(views, size))}
    if kind == "PyDataset":
        return {"x": Batches(views, size)}
    tf = pytest.importorskip("tensorflow", reason="tf.data needs TensorFlow")
    data = tf.data.Dataset.from_tensor_slices(views)
    return {"x": data.batch(size, drop_remainder=True)}


@pytest.fixture(scope="module")
def fitted():
    """The paper's profile, fitted for the two steps in which prototypes are frozen."""
    keras.utils.set_random_seed(2)
    model = tiny_pretrainer(freeze_output_steps=2)
    optimizer = ScheduledAdamW(3e-3, weight_decay=0.0)
    model.compile(optimizer=optimizer, **COMPILED)
    weights = [
        weight for head in model.student_heads.values() for weight in head.weights
    ]
    before = values(weights)
    model.fit(clean_views(8), batch_size=4, verbose=0)
    moved = {
        weight.path: np.abs(now - then).max()
        for weight, then, now in zip(weights, before, values(weights), strict=True)
    }
    return model, moved


@pytest.fixture(scope="module")
def for_sources(fitted):
    """On JAX the fitted one; on TensorFlow one that needs no trace for each source."""
    if keras.backend.backend() == "jax":
        return fitted[0]
    model = tiny_pretrainer()
    model.compile(run_eagerly=True)
    return model


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
@pytest.mark.parametrize("kind", ["numpy", "tf.data", "PyDataset", "generator"])
def test_fit_takes_views_from(for_sources, kind):
    model = for_sources
    before = float(ops.convert_to_numpy(model.steps_done))
    source = as_source(kind, clean_views(8), 4)
    history = model.fit(**source, epochs=1, verbose=0, shuffle=False).history
    assert losses_of(history) == LOGS
    assert np.isfinite([history[name][-1] for name in LOGS]).all()
    total = sum(history[name][-1] for name in LOGS - {"loss"})
    np.testing.assert_allclose(history["loss"][-1], total, rtol=1e-5)
    assert float(ops.convert_to_numpy(model.steps_done)) == before + 2


def test_silent_features_train_without_nan(for_sources):
    silent = np.full((4, 2, FRAMES, BINS), -1.3, "float32")
    history = for_sources.fit(silent, batch_size=4, epochs=2, verbose=0).history
    assert np.isfinite([history[name] for name in LOGS]).all()
    assert all(np.isfinite(value).all() for value in values(for_sources.weights))


def test_it_learns(fitted):
    """One pattern at different levels: the reconstruction falls in 60 steps."""
    model, _ = fitted
    time = np.linspace(0, 2 * np.pi, FRAMES)[:, None]
    pattern = 2 * np.sin(3 * time) * np.linspace(0.2, 1, BINS)
    levels = np.linspace(0.5, 1.5, 240).reshape(120, 2, 1, 1)
    views = (levels * pattern).astype("float32")
    history = model.fit(views, batch_size=4, epochs=2, verbose=0).history
    errors = history["reconstruction_loss"]
    start = np.abs(views).mean()  # of a reconstruction that is all zeros
    assert errors[1] < 0.5 * start


def test_frozen_output_layers_stay_then_move(fitted):
    """Row 18: the prototypes stay for the two steps, the rest of the heads moves."""
    model, moved = fitted
    for path, distance in moved.items():
        assert (distance == 0) == ("prototypes" in path), path
    assert sum("prototypes" in path for path in moved) == 2
    prototypes = [head.prototypes for head in model.student_heads.values()]
    before = values(prototypes)
    model.fit(clean_views(8), batch_size=4, verbose=0)
    for then, now in zip(before, values(prototypes), strict=True):
        assert np.abs(now - then).max() > 1e-4


@pytest.fixture(scope="module")
def fitted_on_waveforms():
    """Fitted on noise and digital silence; the corruption is that of LoudPixels."""
    keras.utils.set_random_seed(3)
    model = tiny_pretrainer(
        backbone=tiny_backbone(num_layers=1), corruption_layer=LoudPixels(-0.4)
    )
    eagerly = keras.backend.backend() == "tensorflow"
    model.compile(optimizer=ScheduledAdamW(1e-3), run_eagerly=eagerly)
    waves = waveforms(6)
    waves[1:3] = 0.0
    return model, waves, model.fit(waves, batch_size=6, epochs=2, verbose=0).history


def test_fit_takes_waveforms_and_silence(fitted_on_waveforms):
    model, _, history = fitted_on_waveforms
    assert losses_of(history) == LOGS
    assert np.isfinite([history[name] for name in LOGS]).all()
    assert all(np.isfinite(value).all() for value in values(model.weights))


def test_waveforms_go_through_the_frontend(fitted_on_waveforms):
    model, waves, _ = fitted_on_waveforms
    features = model.student.frontend(waves.reshape(-1, SAMPLES))
    features = ops.reshape(features, (6, 2, FRAMES, BINS))
    of_features = numbers(model(features))
    assert numbers(model(waves)) == pytest.approx(of_features, rel=1e-5)


@pytest.mark.large
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="on JAX a step is always compiled"
)
@pytest.mark.parametrize("with_draws", [False, True])
def test_a_step_compiled_by_xla_gives_the_same_losses(with_draws):
    """XLA draws other numbers from the same seed: then of the same size alone."""
    without = {"corruption_layer": LoudPixels(), "drop_path": 0.0}

    def logs(jit_compile):
        keras.utils.set_random_seed(4)
        model = tiny_pretrainer(**{} if with_draws else without)
        model.compile(jit_compile=jit_compile)
        return model.train_on_batch(clean_views(6), return_dict=True)

    plain, by_xla = logs(False), logs(True)
    assert set(by_xla) == LOGS
    for name, value in plain.items():
        np.testing.assert_allclose(
            by_xla[name], value, rtol=0.2 if with_draws else 1e-4
        )


# --- Options ----------------------------------------------------------------------


@pytest.mark.parametrize("off", PARTS)
def test_weight_zero_switches_a_loss_and_its_head_off(off):
    # One view is enough without the global loss.
    views = clean_views(12, 1) if off == "global" else clean_views(6, 2)
    model = tiny_pretrainer(
        corruption_layer=LoudPixels(), **{f"{off}_weight": 0.0, "drop_path": 0.0}
    )
    found = numbers(model(views))
    assert set(found) == set(PARTS) - {off}
    assert np.isfinite(list(found.values())).all()
    assert hasattr(model, "reconstruction_head") == (off != "reconstruction")
    expected = {"local", "global"} - {off}
    for heads in (model.student_heads, model.teacher_heads, model.centers):
        assert set(heads) == expected
    model.compile(run_eagerly=True)
    assert {m.name for m in model.metrics} >= {f"{part}_loss" for part in found}
    assert f"{off}_loss" not in {metric.name for metric in model.metrics}


def test_reconstruction_without_corruption_is_over_all_pixels():
    """Row 22: Table II, row 1, where the authors' code divides by nothing."""
    model = tiny_pretrainer(corruption=False, local_weight=0.0, global_weight=0.0)
    views = clean_views(6)
    found = model.reconstruct(views)
    np.testing.assert_array_equal(found["corrupted"], views)
    assert found["mask"].min() == 1
    by_hand = np.abs(views - found["reconstruction"].astype("float64")).mean()
    assert by_hand > 0.1
    loss = numbers(model(views))["reconstruction"]
    np.testing.assert_allclose(loss, by_hand, rtol=1e-5)


def test_nothing_changed_gives_a_loss_of_zero():
    model = tiny_pretrainer(corruption_layer=LoudPixels(1e9))
    found = numbers(model(clean_views(6)))
    assert found["reconstruction"] == 0 and found["local"] == 0
    assert found["global"] > 0


@pytest.mark.parametrize("threshold", [0.2, 0.4])
def test_changed_threshold_chooses_the_tokens(threshold):
    model = tiny_pretrainer(
        corruption_layer=LoudPixels(), changed_threshold=threshold, drop_path=0.0
    )
    shake(model.weights)
    model.teacher_temperature.assign(0.05)
    views = clean_views(6)
    # Louder from clip to clip, so that a token's share of changed pixels differs.
    views *= np.linspace(0.4, 2.0, 6, dtype="float32")[:, None, None, None]
    by_hand = losses_by_hand(model, views, changed_threshold=threshold)
    without = losses_by_hand(model, views)
    found = numbers(model(views))
    np.testing.assert_allclose(found["local"], by_hand["local"], rtol=1e-5)
    if threshold == 0.4:
        assert abs(by_hand["local"] - without["local"]) > 1e-3


def test_views_are_filtered_in_training_and_only_then():
    """Corruption, student, teacher and reconstruction all take the filtered view."""
    model = tiny_pretrainer(
        corruption_layer=LoudPixels(), filter_decibels=30, drop_path=0.0
    )
    shake(model.weights)
    model.teacher_temperature.assign(0.05)
    views = clean_views(6)
    draws = RandomFilter(30, std=model.student.frontend.std, seed=model.seed + 1)
    filtered = ops.convert_to_numpy(draws(views, training=True))
    expected = losses_by_hand(model, views), losses_by_hand(model, filtered)
    found = numbers(model(views)), numbers(model(views, training=True))
    for part in PARTS:
        assert abs(expected[0][part] / expected[1][part] - 1) > 1e-3
        for by_hand, called in zip(expected, found):
            np.testing.assert_allclose(called[part], by_hand[part], rtol=1e-4)
    np.testing.assert_array_equal(model.reconstruct(views)["clean"], views)


def test_views_are_resized_before_they_are_filtered():
    model = tiny_pretrainer(
        corruption_layer=LoudPixels(),
        resize_time=(0.5, 1.0),
        resize_frequency=(0.8, 1.2),
        filter_decibels=30,
        drop_path=0.0,
    )
    shake(model.weights)
    model.teacher_temperature.assign(0.05)
    views = clean_views(6)
    crop = RandomResizedCrop((0.5, 1.0), (0.8, 1.2), seed=model.seed + 2)
    colour = RandomFilter(30, std=model.student.frontend.std, seed=model.seed + 1)
    seen = colour(crop(views, training=True), training=True)
    expected = losses_by_hand(model, ops.convert_to_numpy(seen))
    found = numbers(model(views, training=True))
    for part in PARTS:
        np.testing.assert_allclose(found[part], expected[part], rtol=1e-4)
    np.testing.assert_array_equal(model.reconstruct(views)["clean"], views)


def test_local_loss_on_all_tokens():
    model = tiny_pretrainer(
        corruption_layer=LoudPixels(), local_loss_on="all", drop_path=0.0
    )
    shake(model.weights)
    model.teacher_temperature.assign(0.05)
    views = clean_views(6)
    found = outputs_of_parts(model, views, 0.3)
    entropy = cross_entropy(found["local_t"], found["local_s"], found["local_c"], 0.05)
    np.testing.assert_allclose(
        numbers(model(views))["local"], entropy.mean(), rtol=1e-5
    )


def test_shared_projection_has_one_mlp_less():
    own, shared = tiny_pretrainer(), tiny_pretrainer(shared_projection=True)
    mlp = own.student_heads["local"].mlp.count_params()
    heads = shared.student_heads
    assert heads["local"].mlp is heads["global"].mlp
    assert own.count_params() - shared.count_params() == 2 * mlp  # teacher's too
    student, teacher = student_and_teacher(shared)
    assert len({id(w) for w in student}) == len(student) - 6
    for ours, theirs in zip(values(student), values(teacher), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_teacher_starts_as_a_copy_and_stays_apart():
    model = tiny_pretrainer()
    student, teacher = student_and_teacher(model)
    for ours, theirs in zip(values(student), values(teacher), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    shake(student)
    assert np.abs(values(student)[0] - values(teacher)[0]).max() > 1e-3
    model.reset_teacher()
    np.testing.assert_array_equal(values(student)[0], values(teacher)[0])


def one_block(**arguments):
    return tiny_backbone(num_layers=1, **arguments)


RECONSTRUCTION_ALONE = {"corruption": False, "local_weight": 0.0, "global_weight": 0.0}


def test_a_teacher_can_become_a_student():
    first = tiny_pretrainer(backbone=one_block(), **RECONSTRUCTION_ALONE)
    second = tiny_pretrainer(backbone=first.teacher, **RECONSTRUCTION_ALONE)
    trained = {id(variable) for variable in second.trainable_variables}
    assert {id(variable) for variable in second.student.weights} <= trained
    assert not {id(variable) for variable in second.teacher.weights} & trained


def test_a_student_frozen_by_a_classifier_is_trained_again():
    model = tiny_pretrainer(backbone=one_block(), **RECONSTRUCTION_ALONE)
    eagerly = keras.backend.backend() == "tensorflow"
    model.compile(optimizer=keras.optimizers.SGD(10.0), run_eagerly=eagerly)
    ASiTClassifier(model.student, 3, freeze_backbone=True)
    before = values(model.student.weights)
    model.fit(clean_views(2), batch_size=2, verbose=0)
    moved = [
        np.abs(now - then).max()
        for then, now in zip(before, values(model.student.weights), strict=True)
    ]
    assert max(moved) > 1e-6


# --- Mixed precision --------------------------------------------------------------


@pytest.mark.large_on_jax
def test_mixed_precision_leaves_waveforms_as_they_are(monkeypatch):
    received, plain = [], LogMelFilterbank.call

    def call(self, waveform):
        received.append(keras.backend.standardize_dtype(waveform.dtype))
        return plain(self, waveform)

    monkeypatch.setattr(LogMelFilterbank, "call", call)
    policy = {"dtype": "mixed_bfloat16"}
    model = tiny_pretrainer(backbone=one_block(**policy), **policy)
    parts = model(waveforms(2))
    assert received == ["float32"]
    for loss in parts.values():
        assert keras.backend.standardize_dtype(loss.dtype) == "float32"
    assert model.student(clean_views(1)[:, 0]).dtype == "bfloat16"


@pytest.mark.parametrize("dtype", [None, "float32"])
def test_dtype_policy_of_the_heads_round_trip(dtype):
    """By default the backbone's."""
    model = tiny_pretrainer(backbone=one_block(dtype="mixed_bfloat16"), dtype=dtype)
    again = ASiTPretrainer.from_config(model.get_config())
    for pretrainer in (model, again):
        for layer in (
            pretrainer,
            pretrainer.reconstruction_head,
            *pretrainer.student_heads.values(),
            *pretrainer.teacher_heads.values(),
        ):
            assert layer.dtype_policy.name == (dtype or "mixed_bfloat16")
        for backbone in (pretrainer.student, pretrainer.teacher):
            assert backbone.dtype_policy.name == "mixed_bfloat16"


# --- Errors -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, FRAMES, BINS + 1, 2), r"Expected clean views \(B, V, 48, 32\)"),
        ((4, 2, FRAMES + 1, BINS), r"received \(4, 2, 49, 32\)"),
        ((4, SAMPLES), r"waveforms \(B, V, samples\) at 16000 Hz"),
        ((4, 1, FRAMES, BINS), r"needs V >= 2"),
        ((4, FRAMES, BINS), r"received \(4, 48, 32\).* without the axis of the views"),
        ((4, 1, SAMPLES), r"set global_weight=0"),
    ],
)
def test_wrong_views_are_refused(fitted, shape, message):
    with pytest.raises(ValueError, match=message):
        fitted[0](np.zeros(shape, "float32"))


@pytest.mark.parametrize(
    "shape", [(4, None, FRAMES, BINS), (4, 2, None, BINS), (4, None, SAMPLES)]
)
def test_views_of_a_changed_size_are_refused(fitted, shape):
    """As TensorFlow tells them when the size differs from that of the graph."""
    with pytest.raises(ValueError, match=r"Call compile\(\) before you change it"):
        check_views(keras.KerasTensor(shape), fitted[0].student, crossed=True)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only a TensorFlow graph forgets"
)
def test_features_and_waveforms_in_turn_need_a_new_graph(fitted):
    model = fitted[0]
    message = r"Expected clean views \(B, V, 48, 32\).*Call compile\(\) before you"
    with pytest.raises(ValueError, match=message):
        model.fit(waveforms(4), batch_size=4, verbose=0)
    model.compile(optimizer=model.optimizer, **COMPILED)


def test_reconstruct_needs_the_reconstruction_head():
    model = tiny_pretrainer(backbone=one_block(), reconstruction_weight=0.0)
    with pytest.raises(ValueError, match=r"reconstruction_weight=0.0 leaves out"):
        model.reconstruct(clean_views(2))


def test_unknown_names_are_refused():
    backbone = tiny_backbone()
    with pytest.raises(ValueError, match=r"Unknown options \['ratio'\]"):
        ASiTPretrainer(backbone, ratio=0.5)
    with pytest.raises(ValueError, match=r"\['paper', 'reference'\]; received 'mine'"):
        ASiTPretrainer(backbone, profile="mine")
