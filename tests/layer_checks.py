"""The properties every layer must have, in one call."""

import json
import warnings

import keras
import numpy as np
from keras import ops, tree

POLICIES = ("float32", "mixed_bfloat16")


def check_layer(
    cls,
    init_kwargs,
    input_shape,
    expected_output_shape,
    expected_num_weights=0,
    expected_num_non_trainable_weights=0,
    expected_num_seeds=0,
    call_kwargs=None,
    output_dtype=None,
):
    """Checks a layer as keras-hub's `run_layer_test` does, on the active backend.

    Configuration round trip and symbolic call; under each dtype policy weight counts,
    an eager call, and a compiled fit of one step where the output is a single tensor.

    Args:
        cls: The layer's class.
        init_kwargs: Its arguments.
        input_shape: Shape of the input, batch included.
        expected_output_shape: Shape of the output, or a tuple of shapes.
        expected_num_weights: Number of its weights, trainable or not.
        expected_num_non_trainable_weights: Number of those that are not trained.
        expected_num_seeds: Number of its seed generators.
        call_kwargs: Further arguments of the call.
        output_dtype: Type of the outputs where it is not the compute dtype.
    """
    call_kwargs = call_kwargs or {}
    inputs = np.random.default_rng(0).normal(size=input_shape).astype("float32")
    check_config(cls(**init_kwargs))
    check_symbolic_call(
        cls(**init_kwargs), input_shape, expected_output_shape, call_kwargs
    )
    for policy in POLICIES:
        layer = cls(**init_kwargs, dtype=policy)
        outputs = layer(inputs, **call_kwargs)
        check_counts(
            layer,
            expected_num_weights,
            expected_num_non_trainable_weights,
            expected_num_seeds,
        )
        check_outputs(
            outputs, expected_output_shape, output_dtype or layer.compute_dtype
        )
        if not isinstance(outputs, (tuple, list, dict)):
            check_fit(cls(**init_kwargs, dtype=policy), inputs, outputs.shape)


def check_config(layer):
    """The layer can be rebuilt from JSON, and so rebuilt has the same config."""
    config = json.dumps(keras.saving.serialize_keras_object(layer), sort_keys=True)
    revived = keras.saving.deserialize_keras_object(json.loads(config))
    assert type(revived) is type(layer)
    again = json.dumps(keras.saving.serialize_keras_object(revived), sort_keys=True)
    assert json.loads(again)["config"] == json.loads(config)["config"]


def check_counts(layer, weights, non_trainable_weights, seeds):
    assert layer.built
    assert len(layer.weights) == weights
    assert len(layer.non_trainable_weights) == non_trainable_weights
    # A layer's variables are its weights and the states of its seed generators.
    assert len(layer.variables) - len(layer.weights) == seeds


def check_symbolic_call(layer, input_shape, expected_output_shape, call_kwargs):
    """Shapes of a symbolic call, for a known and for an unknown batch size."""
    expected = _shapes(expected_output_shape)
    outputs = layer(keras.KerasTensor(input_shape), **call_kwargs)
    assert [tuple(x.shape) for x in tree.flatten(outputs)] == expected
    outputs = layer(keras.KerasTensor((None, *input_shape[1:])), **call_kwargs)
    assert [tuple(x.shape)[1:] for x in tree.flatten(outputs)] == [
        shape[1:] for shape in expected
    ]


def check_outputs(outputs, expected_shape, dtype):
    """Shapes, types and finiteness of the outputs of an eager call."""
    outputs = tree.flatten(outputs)
    assert [tuple(x.shape) for x in outputs] == _shapes(expected_shape)
    for output in outputs:
        assert keras.backend.standardize_dtype(output.dtype) == dtype
        values = ops.convert_to_numpy(ops.cast(output, "float32"))
        assert np.all(np.isfinite(values))


def check_fit(layer, inputs, target_shape):
    """One compiled training step gives a finite loss."""
    model = keras.Sequential([layer])
    model.compile(optimizer="sgd", loss="mse")
    targets = np.zeros(tuple(target_shape), "float32")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not have any trainable weights.*")
        history = model.fit(inputs, targets, batch_size=len(inputs), verbose=0)
    assert np.isfinite(history.history["loss"][0])


def _shapes(shape):
    """A list of shapes from one shape or a tuple of shapes."""
    several = isinstance(shape[0], (tuple, list))
    return [tuple(x) for x in shape] if several else [tuple(shape)]
