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
