"""The check alone, as four devices share a batch; on devices see test_many_devices."""

import types

import keras
import numpy as np
import pytest

from keras_asit.models import device_batches
from keras_asit.models.device_batches import checked_evaluate, checked_fit

DEVICES = 4


@pytest.fixture(autouse=True)
def four_devices(monkeypatch):
    for name in ("_devices", "_local_devices"):
        monkeypatch.setattr(device_batches, name, lambda model: DEVICES)


def clips(number):
    return np.zeros((number, 3), "float32")


class Batches(keras.utils.PyDataset):
    def __init__(self, *sizes):
        super().__init__()
        self.sizes = sizes

    def __len__(self):
        return len(self.sizes)

    def __getitem__(self, index):
        return (clips(self.sizes[index]),)


def generator(*sizes):
    return ((clips(size),) for size in sizes)


def own_dataset(number, batch_size, is_repeatable=True):
    """What is asked of a dataset of this library."""
    examples = types.SimpleNamespace(sampler=range(number))
    passes = types.SimpleNamespace(
        examples=examples,
        batch_size=batch_size,
        all_are_full=number % batch_size == 0,
        is_repeatable=is_repeatable,
    )
    return types.SimpleNamespace(passes=passes)


def tf_dataset(number, batch_size, **options):
    tf = pytest.importorskip("tensorflow")
    return tf.data.Dataset.from_tensor_slices(clips(number)).batch(
        batch_size, **options
    )


REFUSED = {
    "batch size": (clips(24), {"batch_size": 6}, "batch_size of 6 clips"),
    "last batch": (clips(22), {"batch_size": 8}, "Leave out the last 2 of the 22"),
    "default size": (clips(34), {}, "last batch of 2 clips"),
    "few clips": (clips(3), {}, "last batch of 3 clips"),
    "size by steps": (clips(22), {"steps_per_epoch": 4}, "batches of 6 clips"),
    "later epoch": (
        clips(22),
        {"batch_size": 8, "steps_per_epoch": 2, "epochs": 2},
        "last batch of 6",
    ),
    "split": (
        clips(30),
        {"batch_size": 8, "validation_split": 0.2},
        "last batch of 6 clips",
    ),
    "validation": (
        clips(8),
        {"batch_size": 8, "validation_data": (clips(9), None)},
        "last batch of 1 clips",
    ),
    "validation steps": (
        clips(8),
        {"validation_data": (clips(10), None), "validation_steps": 2},
        "batches of 5 clips",
    ),
    "py dataset": (Batches(6, 8), {}, "first batch of 6 clips"),
    "end of py dataset": (Batches(8, 8, 6), {}, "last batch of 6 clips"),
    "own dataset": (own_dataset(24, 6), {}, "batch_size of 6 clips"),
    "end of own dataset": (own_dataset(26, 8), {}, "pad_last=True"),
    "iterable": ([(clips(6),), (clips(6),)], {}, "of 6 clips"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_divide_is_refused(name):
    x, arguments, message = REFUSED[name]
    arguments = {"batch_size": None, "shuffle": True, **arguments}
    with pytest.raises(ValueError, match=message) as raised:
        checked_fit(None, x, (), arguments)
    if name != "end of own dataset":
        assert "Expected batches that 4 devices can share evenly" in str(raised.value)


TAKEN = {
    "divides": (clips(24), {"batch_size": 8}),
    "last batch divides": (clips(28), {"batch_size": 8}),
    "not reached": (clips(22), {"batch_size": 8, "steps_per_epoch": 2}),
    "size by steps": (clips(16), {"steps_per_epoch": 2}),
    "split": (clips(40), {"batch_size": 8, "validation_split": 0.2}),
    "validation": (clips(8), {"validation_data": (clips(12), None)}),
    "py dataset": (Batches(8, 4), {}),
    "own dataset": (own_dataset(28, 8), {}),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_divides_is_taken_as_it_is(name):
    x, arguments = TAKEN[name]
    assert checked_fit(None, x, (), arguments) == (x, arguments)


def test_parts_of_a_step_count_too(monkeypatch):
    """Of what is trained on, not of what is validated on; also on one device."""
    model = types.SimpleNamespace(gradient_accumulation_steps=2)
    expected = (
        "that 4 devices and gradient_accumulation_steps=2 can share.*multiple of 8"
    )
    with pytest.raises(ValueError, match=expected):
        checked_fit(model, Batches(12, 8), (), {})
    with pytest.raises(ValueError, match=r"batch of 4 clips\. Leave out the last 4"):
        checked_fit(model, clips(20), (), {"batch_size": 8})
    arguments = {"batch_size": 8, "validation_data": (clips(12), None)}
    checked_fit(model, clips(16), (), arguments)
    for name in ("_devices", "_local_devices"):
        monkeypatch.setattr(device_batches, name, lambda model: 1)
    with pytest.raises(ValueError, match="that gradient_accumulation_steps=2 can sh"):
        checked_fit(model, clips(7), (), {"batch_size": 4})
    arguments = {"batch_size": 4, "validation_data": (clips(3), None)}
    checked_fit(model, clips(8), (), arguments)


def test_arguments_may_be_positional():
    with pytest.raises(ValueError, match="batch_size of 6 clips"):
        checked_fit(None, clips(24), (None, 6), {})
    with pytest.raises(TypeError):
        checked_fit(None, clips(24), (), {"batch_siz": 6})


def test_evaluate():
    with pytest.raises(ValueError, match="last batch of 2 clips"):
        checked_evaluate(None, clips(34), (), {"verbose": 0})
    with pytest.raises(ValueError, match="batches of 9 clips"):
        checked_evaluate(None, clips(34), (), {"steps": 4})
    # `fit` has looked already at what it validates on.
    checked_evaluate(None, clips(34), (), {"_use_cached_eval_dataset": True})


def test_a_generator_is_looked_at_as_it_runs():
    with pytest.raises(ValueError, match="first batch of 6 clips"):
        checked_fit(None, generator(6), (), {})
    x, _ = checked_fit(None, generator(8, 4, 6), (), {})
    assert isinstance(x, types.GeneratorType)  # Keras takes no other iterator
    assert [len(next(x)[0]) for _ in range(2)] == [8, 4]
    with pytest.raises(ValueError, match="batch of the generator of 6 clips"):
        next(x)
    _, kwargs = checked_fit(
        None, clips(8), (), {"validation_data": generator(4), "validation_steps": 1}
    )
    assert len(next(kwargs["validation_data"])[0]) == 4


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="other backends need no tf.data"
)
def test_tf_dataset():
    import tensorflow as tf

    for options in ({}, {"drop_remainder": True}):
        with pytest.raises(ValueError, match="of 6 clips"):
            checked_fit(None, tf_dataset(24, 6, **options), (), {})
    dataset, _ = checked_fit(None, tf_dataset(22, 8), (), {})
    assert len(dataset) == 3
    batches = iter(dataset)
    assert [len(next(batches)) for _ in range(2)] == [8, 8]
    with pytest.raises(tf.errors.InvalidArgumentError, match="a batch of 6 clips"):
        next(batches)
    whole = tf_dataset(22, 8, drop_remainder=True)
    assert checked_fit(None, whole, (), {})[0] is whole


def test_one_device_takes_all(monkeypatch):
    monkeypatch.setattr(device_batches, "_devices", lambda model: 1)
    x = clips(7)
    assert checked_fit(None, x, (), {"batch_size": 3})[0] is x
    assert checked_evaluate(None, x, (), {}) is x


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="other backends have no service"
)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_service_is_for_one_process(workers):
    extended = types.SimpleNamespace(worker_devices=["CPU:0"] * (4 // workers))
    strategy = types.SimpleNamespace(num_replicas_in_sync=4, extended=extended)
    model = types.SimpleNamespace(distribute_strategy=strategy)
    dataset = own_dataset(8, 8, is_repeatable=False)
    if workers == 1:
        assert checked_fit(model, dataset, (), {})[0] is dataset
    else:
        with pytest.raises(ValueError, match=r"tf\.data service .* strategy of 2"):
            checked_fit(model, dataset, (), {})
