"""Whether the data are those that a frontend's mean and deviation were measured on."""

import warnings

import keras
import numpy as np

CLIPS = 16  # that are looked at
FAR = 1.0  # from the mean, in standard deviations of the constants
FAR_RATIO = 3.0  # between the standard deviations


def warn_if_far(data, backbone):
    """Warns where the first batch is far from the constants of the frontend.

    A network trained on features that are off by several deviations learns slowly or
    not at all, and nothing else shows it.

    Args:
        data: What `fit` takes: an array, a dataset of this library, or a
            `keras.utils.PyDataset`. Others, such as generators and what `tf.data` made
            of a dataset, are not looked at: a look would take a batch, or a pass.
        backbone: The `ASiTBackbone` that is trained.
    """
    frontend = backbone.frontend
    inputs = first_inputs(data)
    if inputs is None or frontend.mean is None or not inputs.size:
        return
    if inputs.shape[-2:] != (backbone.num_frames, backbone.num_mel_bins):
        if inputs.shape[-1] < frontend.samples(1):
            return  # a wrong shape, which `fit` explains
        waveforms = inputs.reshape(-1, inputs.shape[-1])
        inputs = keras.ops.convert_to_numpy(frontend(waveforms))
    mean = frontend.mean + 2 * frontend.std * float(inputs.mean())
    std = 2 * frontend.std * float(inputs.std())
    is_near = abs(mean - frontend.mean) <= FAR * frontend.std
    if is_near and 1 / FAR_RATIO <= std / frontend.std <= FAR_RATIO:
        return
    warnings.warn(
        f"The log-mel of the first batch has mean {mean:.2f} and deviation {std:.2f}, "
        f"far from the frontend's constants {frontend.mean:.2f} and "
        f"{frontend.std:.2f}. Are most clips shorter than the crop, silent, or scaled "
        "twice? Else measure the constants with `asit audit MANIFEST`, and give them "
        "to LogMelFilterbank(mean=..., std=...); weights trained with other constants "
        "need those they were trained with",
        stacklevel=3,
    )


def first_inputs(data):
    """The first inputs of what `fit` takes, as numpy; None where a look would cost."""
    if hasattr(data, "peek"):
        batch = data.peek(CLIPS)
    elif isinstance(data, keras.utils.PyDataset):
        batch = data[0] if data.num_batches else None
    elif hasattr(data, "shape"):
        batch = data[:CLIPS]
    else:
        return None
    if isinstance(batch, (tuple, list)):
        batch = batch[0]
    return None if batch is None else np.asarray(keras.ops.convert_to_numpy(batch))
