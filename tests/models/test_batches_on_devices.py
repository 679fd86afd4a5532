"""`fit` and `evaluate` refuse on real devices what these cannot share, and no more."""

import json

import keras
import pytest

from drivers import batches_on_devices, many_devices

# On JAX test_device_batches shows the same without a process of its own.
pytestmark = pytest.mark.large_on_jax
KIND = {"tensorflow": "mirrored", "jax": "data_parallel"}.get(keras.backend.backend())


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    if KIND is None:
        pytest.skip("data-parallel training is for TensorFlow and JAX")
    folder = tmp_path_factory.mktemp("batches")
    started = many_devices.start(
        batches_on_devices.__file__,
        KIND,
        folder / "clips",
        folder / "found",
        backend=keras.backend.backend(),
    )
    many_devices.finish(started)
    return json.loads((folder / "found-0.json").read_text())


def test_what_does_not_divide_is_refused_before_the_first_step(found):
    devices = many_devices.DEVICES[KIND]
    refused = {k: v for k, v in found.items() if k.startswith("refused")}
    assert len(refused) == 8
    for name, (message, *steps) in refused.items():
        assert f"that {devices} devices can share evenly" in message, name
        assert steps == [0, 0], name


def test_a_smaller_last_batch_that_divides_is_trained_on(found):
    for name in ("taken fit", "taken evaluate", "taken generator"):
        logs = found[name]
        loss = logs["loss"][-1] if isinstance(logs["loss"], list) else logs["loss"]
        assert 0 < loss < 10


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="only tf.distribute has replicas"
)
def test_logs_are_scalars_where_one_process_has_all_devices(found):
    assert found["logs"] == {"replicas": 2, "rank": 0}
