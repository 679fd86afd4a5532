"""One compiled model for the tests of callbacks that look on."""

import keras
import pytest

from keras_asit import checkpoints
from keras_asit.optimizers import ScheduledAdamW
from keras_asit.schedules import WarmupCosine
from tiny_asit import tiny_backbone, tiny_pretrainer


@pytest.fixture(scope="session")
def compiled():
    """A pretrainer, and a function that brings it back to its first state.

    Its schedules are over 12 steps. To compile it costs more than all that these
    tests do with it.
    """
    keras.utils.set_random_seed(0)
    model = tiny_pretrainer(backbone=tiny_backbone(num_layers=1))
    model.compile(
        ScheduledAdamW(
            WarmupCosine(3e-2, 1e-5, 12), weight_decay=WarmupCosine(0.04, 0.4, 12)
        ),
        jit_compile="auto" if keras.backend.backend() == "jax" else False,
    )
    start = checkpoints.values_of(checkpoints.variables_of(model))

    def begin_anew():
        checkpoints.assign(checkpoints.variables_of(model), start)
        return model

    return model, begin_anew
