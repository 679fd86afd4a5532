"""Many devices train as one: the same losses, centres, teacher and student.

Logical CPU devices, in one process or in two that meet on loopback, against one device
with the same global batch and the same masks. The later clips of a batch have the
larger masks, so that a mean of the devices' means would be wrong.
"""

import keras
import numpy as np
import pytest

from drivers import many_devices, three_steps
from keras_asit.losses import balanced_center, pseudo_labels

STEPS = range(three_steps.STEPS)


CASES = {  # kind and number of processes, the first in the ordinary suite
    "tensorflow": [("mirrored", 1), ("mirrored/2", 1), ("workers", 2)],
    "jax": [
        ("data_parallel", 1),
        ("data_parallel/2", 1),
        ("model_parallel", 1),
        ("data_parallel", 2),
        ("model_parallel", 2),
    ],
}.get(keras.backend.backend(), [])
PARAMETERS = [
    pytest.param(case, id="-".join(map(str, case)), marks=[pytest.mark.large] * (i > 0))
    for i, case in enumerate(CASES)
]


@pytest.fixture(scope="module", params=PARAMETERS)
def runs(request, tmp_path_factory):
    """What one device made of the steps, and each process of many devices."""
    kind, processes = request.param
    out = tmp_path_factory.mktemp("devices") / "many"
    started = many_devices.start(
        three_steps.__file__,
        kind,
        out,
        backend=keras.backend.backend(),
        processes=processes,
    )
    one = three_steps.on_one_device()
    many_devices.finish(started)
    many = [dict(np.load(f"{out}-{number}.npz")) for number in range(processes)]
    for found in many:
        assert one["paths"].tolist() == found["paths"].tolist()
    return {"one": one, "many": many, "kind": kind}


def copies(runs, step, i):
    """What all devices of all processes hold of a weight after a step."""
    return [copy for run in runs["many"] for copy in run[f"weight_{step}_{i}"]]


def test_the_halves_of_the_batch_are_unequal():
    half = three_steps.CLIPS // 2
    for batch in three_steps.views():
        changed = (batch > 0.3).mean(axis=(1, 2, 3))
        assert changed[half:].mean() > 1.5 * changed[:half].mean()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("part", ["reconstruction_", "local_", "global_", ""])
def test_losses_are_those_of_one_device(runs, part, step):
    name = f"{part}loss_{step}"
    for found in runs["many"]:
        np.testing.assert_allclose(found[name], runs["one"][name], rtol=1e-5)


@pytest.mark.parametrize("step", STEPS)
def test_weights_are_those_of_one_device(runs, step):
    """Student, teacher, centres and the step counter, on every device."""
    for i, path in enumerate(runs["one"]["paths"]):
        [expected] = runs["one"][f"weight_{step}_{i}"]
        expected = three_steps.without_key_bias(path, expected)
        for held in [
            copy for run in runs["many"] for copy in run[f"weight_{step}_{i}"]
        ]:
            held = three_steps.without_key_bias(path, held)
            np.testing.assert_allclose(
                held, expected, rtol=1e-5, atol=1e-5, err_msg=path
            )


@pytest.mark.parametrize("step", STEPS)
def test_devices_hold_the_same_weights(runs, step):
    """Else replicas would diverge unseen: Keras' weights are not summed by default."""
    for i, path in enumerate(runs["one"]["paths"]):
        first, *others = copies(runs, step, i)
        assert others
        for held in others:
            np.testing.assert_array_equal(held, first, err_msg=path)


def test_the_layout_map_splits_the_blocks(runs):
    """Of student, teacher and optimiser's moments; nothing is split otherwise."""
    split = sorted({str(path).split("/", 1)[1] for path in runs["many"][0]["split"]})
    if runs["kind"] != "model_parallel":
        assert split == []
        return
    assert len(runs["many"][0]["split"]) == 2 * 6 * (2 + 2)
    weights = [path for path in split if "momentum" not in path]
    weights = [path for path in weights if "velocity" not in path]
    assert weights == [
        "attention/projection/kernel",
        "attention/qkv/bias",
        "attention/qkv/kernel",
        "contract/kernel",
        "expand/bias",
        "expand/kernel",
    ]


only_replicas = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only tf.distribute has replicas"
)


@only_replicas
def test_replicas_draw_differently(runs):
    def drawn(name):
        return np.concatenate([run[name] for run in runs["many"]])

    assert set(np.unique(drawn("masks"))) == {0.0, 1.0}
    for first, second in zip(*drawn("masks"), strict=True):
        assert (first != second).mean() > 0.05
    first, second = drawn("dropped")
    assert 0.1 < (first != second).mean() < 0.9
    for first, second in zip(*drawn("filtered"), strict=True):
        assert np.abs(first - second).max() > 0.1
    # Keras' own generator gives every replica the same numbers.
    first, second = drawn("plain")
    np.testing.assert_array_equal(first, second)


@only_replicas
def test_balanced_center_is_that_of_the_whole_batch(runs):
    if runs["kind"] != "mirrored":
        pytest.skip("shown of two replicas in one process")
    center, logits = three_steps.center_and_logits()
    labels, _ = pseudo_labels(logits, center, 0.04)
    use = keras.ops.mean(labels, axis=(0, 1))
    expected = keras.ops.convert_to_numpy(balanced_center(center, use, 0.04))
    for found in runs["many"][0]["balanced_center"]:
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    assert np.abs(expected - center).max() > 1e-3


@only_replicas
def test_any_optimizer_clips_the_gradient_of_the_whole_batch(runs):
    if runs["kind"] != "mirrored":
        pytest.skip("shown of two replicas in one process")
    _, gradients = three_steps.center_and_logits()
    whole = gradients.sum(axis=(0, 1))
    assert np.linalg.norm(whole) > 0.1
    for found in runs["many"][0]["clipped"]:
        np.testing.assert_allclose(
            found, -0.01 * whole / np.linalg.norm(whole), rtol=1e-4
        )
