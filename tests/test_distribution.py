"""Two devices train as one: the same losses, centres, teacher and student.

TensorFlow's `MirroredStrategy` and JAX's `DataParallel` on two logical CPU devices,
against one device with the same global batch and the same masks. The two halves of
the batch have masks of very different size, so that a mean of the replicas' means
would be wrong.
"""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from drivers import three_steps
from keras_asit.losses import balanced_center, pseudo_labels

STEPS = range(three_steps.STEPS)


def without_key_bias(path, value):
    """A weight, less what no loss depends on.

    Softmax takes no notice of what all keys share (see test_transformer_block.py), so
    the gradient of the keys' bias is rounding alone, and Adam, which divides it by its
    own size, makes steps of it that the order of a sum decides.
    """
    if not path.endswith("qkv/bias"):
        return value
    query, _, values = np.split(value, 3)
    return np.concatenate([query, values])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The records of one device and of two."""
    if keras.backend.backend() not in ("tensorflow", "jax"):
        pytest.skip("data-parallel training is for TensorFlow and JAX")
    file = tmp_path_factory.mktemp("devices") / "two.npz"
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count="
    process = subprocess.Popen(
        [sys.executable, three_steps.__file__, "two", str(file)],
        env={
            **{k: v for k, v in os.environ.items() if k != "TF_NUM_INTEROP_THREADS"},
            "KERAS_BACKEND": keras.backend.backend(),
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiles sooner
            "XLA_FLAGS": flags + "2",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    one = three_steps.on_one_device()
    output, _ = process.communicate()
    assert process.returncode == 0, output
    two = dict(np.load(file))
    assert one["paths"].tolist() == two["paths"].tolist()
    return {"one": one, "two": two}


def test_the_halves_of_the_batch_are_unequal():
    half = three_steps.CLIPS // 2
    for batch in three_steps.views():
        changed = (batch > 0.3).mean(axis=(1, 2, 3))
        assert changed[half:].mean() > 1.5 * changed[:half].mean()


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("part", ["reconstruction_", "local_", "global_", ""])
def test_losses_are_those_of_one_device(runs, part, step):
    one, two = (runs[devices][f"{part}loss_{step}"] for devices in ("one", "two"))
    np.testing.assert_allclose(two, one, rtol=1e-5)


@pytest.mark.parametrize("step", STEPS)
def test_weights_are_those_of_one_device(runs, step):
    """Student, teacher, centres and the step counter."""
    for i, path in enumerate(runs["one"]["paths"]):
        one, two = (
            without_key_bias(path, runs[devices][f"weight_{step}_{i}"][0])
            for devices in ("one", "two")
        )
        np.testing.assert_allclose(two, one, rtol=1e-5, atol=1e-5, err_msg=path)


@pytest.mark.parametrize("step", STEPS)
def test_devices_hold_the_same_weights(runs, step):
    for i, path in enumerate(runs["two"]["paths"]):
        held = runs["two"][f"weight_{step}_{i}"]
        assert len(held) == 2
        np.testing.assert_array_equal(held[0], held[1], err_msg=path)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only tf.distribute has replicas"
)
def test_replicas_draw_different_corruption(runs):
    masks, plain = runs["two"]["masks"], runs["two"]["plain"]
    assert set(np.unique(masks)) == {0.0, 1.0}
    for first, second in zip(masks[0], masks[1], strict=True):
        assert (first != second).mean() > 0.05
    # Keras' own generator gives every replica the same numbers.
    np.testing.assert_array_equal(plain[0], plain[1])


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only tf.distribute has replicas"
)
def test_balanced_center_is_that_of_the_whole_batch(runs):
    center, logits = three_steps.center_and_logits()
    labels, _ = pseudo_labels(logits, center, 0.04)
    use = keras.ops.mean(labels, axis=(0, 1))
    expected = keras.ops.convert_to_numpy(balanced_center(center, use, 0.04))
    for found in runs["two"]["balanced_center"]:
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    assert np.abs(expected - center).max() > 1e-3
