"""Whether devices and parts of a step share every batch evenly, told before the first.

What a backend makes of a batch that they cannot share is an error of many lines (JAX),
or a replica with no clips at all (TensorFlow).
"""

import inspect
import itertools
import math
import sys
import types

import keras

from keras_asit import distribution, replicas
from keras_asit.data.shards.streaming import check_service


def checked_fit(model, x, args, kwargs):
    """The arguments of `fit`, once all batches are known to divide.

    Args:
        model: The model.
        x: What it is to be trained on.
        args: Tuple of the positional arguments of `keras.Model.fit` behind `x`.
        kwargs: Dict of the others.

    Returns:
        `x` and `kwargs` to use: a generator is looked at as it runs.

    Raises:
        ValueError: For a batch that the number of devices, times
            `gradient_accumulation_steps`, does not divide; for a
            dataset of a tf.data service where several processes train.
    """
    parts = getattr(model, "gradient_accumulation_steps", 1)
    if _devices(model) == parts == 1:
        return x, kwargs
    given = _bound(keras.Model.fit, model, x, args, kwargs)
    batch_size = given.get("batch_size")
    epochs = given.get("epochs", 1) - given.get("initial_epoch", 0)
    size = batch_size
    validation = given.get("validation_data")
    part = given.get("validation_split")
    if part and validation is None and _is_array(x):
        clips = math.floor(_length(x) * (1.0 - part))
        steps = given.get("steps_per_epoch")
        _check_clips(_local_devices(model), parts, clips, size, steps, epochs)
        left = _length(x) - clips
        size = given.get("validation_batch_size") or batch_size
        steps = given.get("validation_steps")
        _check_clips(_local_devices(model), 1, left, size, steps, epochs)
        return x, kwargs
    x = _checked(model, x, batch_size, given.get("steps_per_epoch"), epochs, parts)
    if validation is not None and _devices(model) > 1:
        inputs = keras.utils.unpack_x_y_sample_weight(validation)[0]
        size = given.get("validation_batch_size") or batch_size
        steps = given.get("validation_steps")
        new = _checked(model, inputs, size, steps, epochs)
        if new is not inputs and "validation_data" in kwargs:
            kwargs = {**kwargs, "validation_data": new}
    return x, kwargs


def checked_evaluate(model, x, args, kwargs):
    """As `checked_fit`, of `evaluate`; returns `x`."""
    # `fit` has looked at what it validates on.
    if _devices(model) == 1 or kwargs.get("_use_cached_eval_dataset"):
        return x
    given = _bound(keras.Model.evaluate, model, x, args, kwargs)
    return _checked(model, x, given.get("batch_size"), given.get("steps"), 1)


def _bound(method, model, x, args, kwargs):
    """The arguments of a method of Keras by name."""
    return inspect.signature(method).bind(model, x, *args, **kwargs).arguments


def _devices(model):
    """How many devices share a batch of the model.

    A model keeps the `tf.distribute` strategy that it was made under, wherever `fit`
    is called.
    """
    if keras.backend.backend() == "tensorflow":
        return model.distribute_strategy.num_replicas_in_sync
    return distribution.batch_parts()


def _local_devices(model):
    """How many devices share what this process gives to `fit`, but for `tf.data`."""
    if keras.backend.backend() == "tensorflow":
        return model.distribute_strategy.num_replicas_in_sync
    return distribution.batch_parts() // distribution.share_of_process()[1]


def _checked(model, x, batch_size, steps, epochs, parts=1):
    """What to use as `x`, once its batches are known to divide; see `checked_fit`."""
    passes = getattr(x, "passes", None)
    if passes is not None:
        _check_passes(model, passes, parts)
    elif _is_array(x):
        devices = _local_devices(model)
        _check_clips(devices, parts, _length(x), batch_size, steps, epochs)
    elif _is_tf_dataset(x):
        return _checked_tf_dataset(model, x, parts)
    elif isinstance(x, keras.utils.PyDataset):
        _check_py_dataset(model, x, parts)
    elif isinstance(x, types.GeneratorType):
        return _checked_generator(model, x, parts)
    elif x is not None and hasattr(x, "__iter__") and not hasattr(x, "__next__"):
        first = _size_of(next(iter(x), None))
        _check(_local_devices(model), parts, first, "a first batch")
    return x


def _check_passes(model, passes, parts):
    """A dataset of this library knows its batches."""
    if keras.backend.backend() == "tensorflow" and not passes.is_repeatable:
        check_service(replicas.workers(model.distribute_strategy))
    _check(_devices(model), parts, passes.batch_size, "a batch_size")
    rest = len(passes.examples.sampler) % passes.batch_size
    if not passes.all_are_full:
        _check(
            _devices(model),
            parts,
            rest,
            "a last batch",
            "Make the dataset with drop_remainder=True, or for evaluation with "
            "pad_last=True",
        )


def _check_clips(devices, parts, clips, batch_size, steps, epochs):
    """Arrays are cut as Keras does it."""
    size = batch_size or (math.ceil(clips / steps) if steps else 32)
    full, rest = divmod(clips, size)
    if full:
        _check(
            devices, parts, size, "a batch_size" if batch_size else "default batches"
        )
    is_reached = not steps or steps * epochs > full
    if rest and is_reached:
        fitting = full * size + rest // (devices * parts) * devices * parts
        advice = f"Leave out the last {clips - fitting} of the {clips} clips"
        _check(devices, parts, rest, "a last batch", advice)


def _check_py_dataset(model, x, parts):
    """Its first batch, and its last one, which may be smaller."""
    devices, number = _local_devices(model), x.num_batches
    _check(devices, parts, _size_of(x[0]), "a first batch")
    if number is not None and number > 1:
        _check(devices, parts, _size_of(x[number - 1]), "a last batch")


def _checked_generator(model, x, parts):
    """The generator; every batch is looked at before its step, the first one now."""
    devices = _local_devices(model)

    def looked_at(what, batch):
        _check(devices, parts, _size_of(batch), what)
        return batch

    def batches():
        yield from first
        for batch in x:
            yield looked_at("a batch of the generator", batch)

    first = [looked_at("a first batch", batch) for batch in itertools.islice(x, 1)]
    return batches()


def _checked_tf_dataset(model, x, parts):
    """The dataset; where its batches differ in size each is looked at in the graph."""
    import tensorflow as tf

    devices = _devices(model) if _is_shared_out_by_keras() else _local_devices(model)
    size = tf.nest.flatten(x.element_spec)[0].shape[:1]
    if size.rank and size[0] is not None:
        _check(devices, parts, size[0], "batches")
        return x
    for batch in x.take(1):
        _check(devices, parts, _size_of(batch), "a first batch")
    return _checked_in_graph(x, devices, parts)


def _is_shared_out_by_keras():
    """Whether a `tf.data.Dataset` has the clips of all processes."""
    strategy = keras.distribution.distribution()
    return strategy is None or strategy.auto_shard_dataset


def _checked_in_graph(x, devices, parts):
    """A filter that lets all pass: what it is put on keeps its batches and length."""
    import tensorflow as tf

    def divides(*batch):
        size = tf.shape(tf.nest.flatten(batch)[0])[0]
        message = _message(devices, parts, "a batch of {} clips", "")
        is_whole = size % (devices * parts) == 0
        text = tf.strings.format(message, size)
        with tf.control_dependencies([tf.debugging.Assert(is_whole, [text])]):
            return tf.identity(True)

    looked_at, length = x.filter(divides), x.cardinality()
    if length == tf.data.UNKNOWN_CARDINALITY:
        return looked_at
    return looked_at.apply(tf.data.experimental.assert_cardinality(length))


def _check(devices, parts, size, what, advice=""):
    if size is not None and size % (devices * parts):
        raise ValueError(_message(devices, parts, f"{what} of {size} clips", advice))


def _message(devices, parts, received, advice):
    """What is wrong with a batch.

    Args:
        devices: How many share it.
        parts: Of how many steps of accumulation.
        received: What it is.
        advice: What to do; by default the usual.
    """
    advice = advice or (
        f"Choose a batch_size that is a multiple of {devices * parts}, and leave a "
        "smaller last batch out (drop_remainder=True)"
    )
    sharers = [f"{devices} devices"] * (devices > 1)
    sharers += [f"gradient_accumulation_steps={parts}"] * (parts > 1)
    return (
        f"Expected batches that {' and '.join(sharers)} can share evenly. Received: "
        f"{received}. {advice}"
    )


def _is_array(x):
    """Whether `x` is an array, or arrays in a list or dict."""
    arrays = keras.tree.flatten(x)
    return bool(arrays) and all(hasattr(a, "shape") and len(a.shape) for a in arrays)


def _length(x):
    return keras.tree.flatten(x)[0].shape[0]


def _size_of(batch):
    """Clips of a batch, or None."""
    arrays = keras.tree.flatten(batch)
    return len(arrays[0]) if arrays and hasattr(arrays[0], "__len__") else None


def _is_tf_dataset(x):
    """Whether it is one that is not distributed yet."""
    tensorflow = sys.modules.get("tensorflow")
    return tensorflow is not None and isinstance(x, tensorflow.data.Dataset)
