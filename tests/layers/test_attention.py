import numpy as np
import pytest
from keras import ops

from gradients import gradients_of
from keras_asit.layers import attention as module
from keras_asit.layers.attention import attention

HEADS = 2
QKV = np.random.default_rng(0).normal(size=(2, 5, 3 * 6)).astype("float32")
TARGET = np.random.default_rng(1).normal(size=(2, 5, 6)).astype("float32")


def score(qkv):
    return ops.sum(TARGET * attention(qkv, HEADS))


@pytest.fixture
def on_accelerator(monkeypatch):
    """The form for accelerators, Keras' own operation, taken here as the oracle."""
    return lambda: monkeypatch.setattr(module, "on_cpu", lambda: False)


def test_the_form_for_cpus_equals_keras_own(on_accelerator):
    ours, ours_gradient = attention(QKV, HEADS), gradients_of(score, QKV)[0]
    on_accelerator()
    expected, gradient = attention(QKV, HEADS), gradients_of(score, QKV)[0]
    assert np.max(np.abs(gradient)) > 0.1
    for left, right in ((ours, expected), (ours_gradient, gradient)):
        np.testing.assert_allclose(
            ops.convert_to_numpy(left), ops.convert_to_numpy(right), atol=1e-5
        )


def test_equal_keys_give_the_mean_of_the_values():
    qkv = QKV.copy()
    qkv[..., 6:12] = 1.0
    mean = qkv[..., 12:].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(
        ops.convert_to_numpy(attention(qkv, HEADS)),
        np.broadcast_to(mean, TARGET.shape),
        atol=1e-6,
    )
