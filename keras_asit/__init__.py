"""ASiT, self-supervised pretraining of audio spectrogram transformers, in Keras 3.

The way of a clip: `audio` reads it and makes a log-mel filterbank, `data` makes
batches, `layers` and `models` are the networks, `losses`, `schedules`, `optimizers`
and `callbacks` train them, `distribution` on many devices; `presets`, `evaluation` and
`embed` use what was learned.
"""

import importlib

from keras_asit.version import __version__

__all__ = [
    "audit",
    "__version__",
    "audio",
    "callbacks",
    "data",
    "distribution",
    "embed",
    "evaluation",
    "hear",
    "layers",
    "losses",
    "metrics",
    "models",
    "optimizers",
    "pictures",
    "presets",
    "schedules",
    "training",
]


def __getattr__(name):
    """Imports a part when it is first used.

    So the command line can choose the backend before Keras is imported, and
    `import keras_asit` costs nothing.
    """
    if name not in __all__:
        raise AttributeError(f"module 'keras_asit' has no attribute {name!r}")
    if name == "embed":
        return importlib.import_module("keras_asit.embedding").embed
    return importlib.import_module(f"keras_asit.{name}")


def __dir__():
    return __all__
