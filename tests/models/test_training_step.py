"""The step of a batch in parts, of batches that are not finite, and in other dtypes."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_asit import checkpoints
from keras_asit.models import ASiTPretrainer, objective
from keras_asit.optimizers import ScheduledAdamW
from tiny_asit import (
    LoudPixels,
    clean_views,
    shake,
    tiny_backbone,
    tiny_pretrainer,
    values,
)

CLIPS = 8
# XLA compiles slowly and is not the point here; on JAX a step is always compiled.
COMPILED = {"jit_compile": "auto" if keras.backend.backend() == "jax" else False}


def pretrainer(optimizer=None, backbone=None, compiled=None, **options):
    """A pretrainer with the weights and draws of every other one, compiled."""
    keras.utils.set_random_seed(0)
    backbone = backbone or tiny_backbone(num_layers=1)
    model = tiny_pretrainer(backbone=backbone, **{"drop_path": 0.0, **options})
    shake(model.student.weights + model.reconstruction_head.weights)
    optimizer = optimizer or ScheduledAdamW(3e-3, global_clipnorm=1.0)
    model.compile(optimizer, **COMPILED, **(compiled or {}))
    return model


def state(model):
    return checkpoints.values_of(checkpoints.variables_of(model))


def norm(arrays):
    return np.sqrt(sum(np.square(x.astype("float64")).sum() for x in arrays))


def number(variable):
    return float(ops.convert_to_numpy(variable))


def steps(model, batches):
    return [model.train_on_batch(batch, return_dict=True) for batch in batches]


@pytest.fixture(scope="module")
def whole():
    """Two steps of whole batches: the model, its logs and its state before them."""
    model = pretrainer()
    before = state(model)
    logs = steps(model, [clean_views(CLIPS, seed=s) for s in range(2)])
    return model, logs, before


def test_a_batch_in_parts_is_the_step_of_the_whole(whole):
    """The same masks, donors, losses, centres and weights; the parts differ in size."""
    model, expected, before = whole
    parts = pretrainer(compiled={"gradient_accumulation_steps": 4})
    for value, first in zip(state(parts), before, strict=True):
        np.testing.assert_array_equal(value, first)
    logs = steps(parts, [clean_views(CLIPS, seed=s) for s in range(2)])
    for found, wanted in zip(logs, expected, strict=True):
        for name in wanted:
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-5)
    moved = 0.0
    for found, wanted, first, variable in zip(
        state(parts), state(model), before, checkpoints.variables_of(model), strict=True
    ):
        if found.dtype.kind == "f":
            # Adam divides by the root of squares: what is near 0 may turn its sign.
            np.testing.assert_allclose(
                found, wanted, rtol=1e-4, atol=2e-5, err_msg=variable.path
            )
            moved = max(moved, np.abs(wanted - first).max())
    assert moved > 1e-3


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow alone traces twice"
)
def test_the_first_step_is_traced_once(monkeypatch):
    """A function that makes variables would be traced a second time."""
    traced = []
    original = ASiTPretrainer.train_step
    monkeypatch.setattr(
        ASiTPretrainer,
        "train_step",
        lambda model, data: traced.append(1) or original(model, data),
    )
    model = pretrainer()
    assert not model.optimizer.built
    steps(model, [clean_views(CLIPS), clean_views(CLIPS)])
    assert len(traced) == 1


def test_a_batch_that_cannot_be_cut_is_refused():
    model = pretrainer(compiled={"gradient_accumulation_steps": 3})
    with pytest.raises(ValueError, match=r"a batch of 8 clips and .*steps=3"):
        model.train_on_batch(clean_views(CLIPS))


def test_accumulation_by_the_optimizer_is_refused():
    with pytest.raises(ValueError, match=r"compile\(optimizer, gradient_acc.*steps=2"):
        pretrainer(ScheduledAdamW(1e-3, gradient_accumulation_steps=2))
    with pytest.raises(ValueError, match="a whole number of 1 or more"):
        pretrainer(compiled={"gradient_accumulation_steps": 0})


def test_accumulation_is_saved_with_the_model(tmp_path):
    model = pretrainer(compiled={"gradient_accumulation_steps": 2})
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, ASiTPretrainer)
    assert loaded.gradient_accumulation_steps == 2


def test_a_step_that_is_not_finite_changes_nothing(whole):
    model, _, _ = whole
    good, bad = clean_views(CLIPS, seed=5), clean_views(CLIPS, seed=6)
    bad[3, 1, 7, 7] = np.nan
    model.reset_metrics()
    kept = [number(model.skipped_steps), number(model.steps_done)]
    before = state(model)
    logs = steps(model, [bad, bad])
    assert np.isnan(logs[-1]["loss"])  # there is no step whose loss it could be
    seeds_and_counts = {v.path for v in (model.skipped_steps, model.skipped_in_a_row)}
    for variable, old, new in zip(
        checkpoints.variables_of(model), before, state(model), strict=True
    ):
        if new.dtype.kind == "f" and variable.path not in seeds_and_counts:
            np.testing.assert_array_equal(new, old, err_msg=variable.path)
    assert number(model.skipped_in_a_row) == 2
    assert number(model.skipped_steps) == kept[0] + 2
    assert number(model.steps_done) == kept[1]
    iterations = number(model.optimizer.iterations)
    logs = steps(model, [good])
    assert np.isfinite(logs[0]["loss"])
    assert number(model.skipped_in_a_row) == 0
    assert number(model.steps_done) == kept[1] + 1
    assert number(model.optimizer.iterations) == iterations + 1


def test_vital_signs_are_those_of_numpy(whole):
    model, _, _ = whole
    views = clean_views(CLIPS, seed=8)
    flat = views.reshape(-1, *views.shape[2:])
    tokens = ops.convert_to_numpy(model.teacher(flat)).astype("float64")
    clips = tokens[:, 1:].mean(axis=1)
    eigenvalues = np.linalg.eigvalsh(np.cov(clips.T, bias=True))
    tau = number(model.teacher_temperature)
    expected = {
        "feature_std": np.sqrt(clips.var(axis=0).mean()),
        "clips": CLIPS,
        "feature_rank": eigenvalues.sum() ** 2 / (eigenvalues**2).sum(),
    }
    for head, where in (("local", slice(1, None)), ("global", slice(0, 1))):
        center = values([model.centers[head]])[0].astype("float64")
        logits = ops.convert_to_numpy(model.teacher_heads[head](tokens[:, where]))
        logits = (logits - center) / tau
        labels = np.exp(logits - logits.max(axis=-1, keepdims=True))
        labels /= labels.sum(axis=-1, keepdims=True)
        mean = labels.mean(axis=(0, 1))
        expected[f"{head}_entropy"] = -(labels * np.log(labels)).sum(-1).mean()
        expected[f"{head}_usage"] = -(mean * np.log(mean)).sum()
        expected[f"{head}_center_norm"] = np.linalg.norm(center)
    teacher = values([theirs for theirs, _ in model._pairs])
    model.reset_metrics()
    model.momentum_start.assign(0.5)  # the teacher moves far
    model.momentum_end.assign(0.5)
    (logs,) = steps(model, [views])
    student = values([ours for _, ours in model._pairs])
    gaps = [ours - theirs for ours, theirs in zip(student, teacher, strict=True)]
    expected["teacher_distance"] = norm(gaps) / norm(teacher)
    expected |= {f"{head}_loss": logs[f"{head}_loss"] for head in ("local", "global")}
    found = dict(zip(model.vital_names, values([model.vitals])[0], strict=True))
    assert set(found) == set(expected) | {"gradient_norm"}
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=2e-3, err_msg=name)
    assert found["gradient_norm"] > 0


@pytest.mark.parametrize(
    "factor", [None, pytest.param(64.0, marks=pytest.mark.large_on_jax)]
)
def test_the_gradient_norm_is_that_of_the_loss(factor):
    """Descent without momentum moves the weights by rate times norm."""
    model = pretrainer(keras.optimizers.SGD(0.1, loss_scale_factor=factor))
    before = values(model.trainable_variables)
    steps(model, [clean_views(CLIPS)])
    after = values(model.trainable_variables)
    moved = sum(((a - b).astype("float64") ** 2).sum() for a, b in zip(after, before))
    norm = dict(zip(model.vital_names, values([model.vitals])[0]))["gradient_norm"]
    np.testing.assert_allclose(np.sqrt(moved) / 0.1, norm, rtol=1e-3)


@pytest.mark.large_on_jax
def test_a_loss_that_is_not_finite_lowers_the_scale_alone(monkeypatch):
    """Also where all gradients are finite, which is all that such an optimizer sees."""

    def forward(*args, **kwargs):
        parts, statistics = whole_forward(*args, **kwargs)
        return {name: loss + np.inf for name, loss in parts.items()}, statistics

    whole_forward = objective.forward
    monkeypatch.setattr(objective, "forward", forward)
    optimizer = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.1), initial_scale=8.0
    )
    model = pretrainer(optimizer)
    before = values(model.trainable_variables)
    steps(model, [clean_views(CLIPS)])
    for old, new in zip(before, values(model.trainable_variables), strict=True):
        np.testing.assert_array_equal(new, old)
    assert number(optimizer.dynamic_scale) == 4.0
    assert number(model.skipped_steps) == 1
    assert number(model.steps_done) == 0


@pytest.mark.parametrize(
    "policy",
    [
        pytest.param("mixed_bfloat16", marks=pytest.mark.large),
        "mixed_float16",
    ],
)
def test_half_precision_learns(policy):
    """By the policy that layers have where none is given, as Keras' guides set it."""
    former = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = pretrainer(
            ScheduledAdamW(3e-3),
            backbone=tiny_backbone(num_layers=1),
            alien_probability=0.0,
        )
    finally:
        keras.config.set_dtype_policy(former)
    assert model.student.compute_dtype == policy.removeprefix("mixed_")
    batch = clean_views(CLIPS)
    losses = []
    for _ in range(30):
        model.reset_metrics()
        losses.append(model.train_on_batch(batch, return_dict=True)["loss"])
    losses = [loss for loss in losses if np.isfinite(loss)]
    assert len(losses) > 10
    assert np.mean(losses[-5:]) < losses[0] - 0.1
    assert {v.dtype for v in model.trainable_variables} == {"float32"}
    scales = policy == "mixed_float16"
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) == scales


@pytest.mark.large_on_jax
def test_student_views_share_the_pass_of_the_teacher():
    """Copies with the same mask are as one; their losses are means over the copies."""
    one = pretrainer(corruption_layer=LoudPixels())
    three = pretrainer(corruption_layer=LoudPixels(), student_views=3)
    rows = []
    call = three.teacher.call
    three.teacher.call = lambda x, **k: (rows.append(x.shape[0]), call(x, **k))[1]
    views = clean_views(4)
    for name, value in one(views).items():
        np.testing.assert_allclose(
            ops.convert_to_numpy(three(views)[name]), ops.convert_to_numpy(value),
            rtol=1e-5,
        )  # fmt: skip
    assert set(rows) == {8}
    drawn = objective.prepare(pretrainer(student_views=3), views)
    drawn = {name: ops.convert_to_numpy(x) for name, x in drawn.items()}
    assert drawn["corrupted"].shape == drawn["mask"].shape == (4, 6, 48, 32)
    assert drawn["changed"].shape == (4, 6, 6)
    for first, second in ((0, 1), (1, 2), (3, 4)):
        assert (drawn["mask"][:, first] != drawn["mask"][:, second]).mean() > 0.05
    kept = drawn["mask"] == 0
    clean = np.repeat(views, 3, axis=1)  # each view's copies stand together
    np.testing.assert_array_equal(drawn["corrupted"][kept], clean[kept])
    with pytest.raises(ValueError, match="student_views is a whole number of 1"):
        pretrainer(student_views=0)
