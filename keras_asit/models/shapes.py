"""Shapes of what the models are given, also where TensorFlow has forgotten them."""

RETRACED = "TensorFlow has made a graph for inputs of another"


def known_shape(inputs, expected):
    """The shape of the inputs as a tuple.

    A compiled step of TensorFlow that meets inputs of two ranks goes on with a
    graph that knows neither.

    Args:
        inputs: Tensor or array.
        expected: What is expected, in words.

    Raises:
        ValueError: If the rank is not known.
    """
    try:
        return tuple(inputs.shape)
    except ValueError:
        raise ValueError(
            f"Expected {expected}, but not one after the other: {RETRACED} rank, and "
            "does not tell which was received. Call compile() before you change from "
            "one to the other."
        ) from None


def checked_shape(inputs, backbone, waveforms=False):
    """The shape of the inputs of a backbone, or of a model around it.

    Args:
        inputs: Tensor or array: features `(B, T, F)`.
        backbone: The `ASiTBackbone` that sees them.
        waveforms: Whether waveforms `(B, S)` are taken too.

    Raises:
        ValueError: If the shape is another.
    """
    sides = (backbone.num_frames, backbone.num_mel_bins)
    waves = f"waveforms (B, samples) at {backbone.frontend.sample_rate} Hz"
    expected = f"features (B, {sides[0]}, {sides[1]})"
    if waveforms:
        expected += f" or {waves}"
    shape = known_shape(inputs, expected)
    if (len(shape) == 3 and shape[1:] == sides) or (waveforms and len(shape) == 2):
        return shape
    raise ValueError(
        f"Expected {expected}; received {shape}. Make such features from {waves} with "
        "backbone.frontend(waveforms)."
    )
