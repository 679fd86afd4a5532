"""Three training steps from fixed weights, batch and masks, on the active backend.

    python tests/drivers/one_step.py OUT.npz

Everything that could differ is made by numpy or switched off, so that whatever two
backends disagree on is arithmetic.
"""

import sys
from pathlib import Path

import numpy as np

STEPS = 3


def deterministic_pretrainer():
    """A pretrainer without chance, its weights drawn by numpy in a fixed order."""
    from tiny_asit import LoudPixels, tiny_pretrainer

    model = tiny_pretrainer(
        corruption_layer=LoudPixels(),
        drop_path=0.0,
        reconstruction_weight=2.0,
        local_weight=0.5,
    )
    rng = np.random.default_rng(5)
    for variable in model.weights:
        if variable.ndim:
            start = np.ones if variable.path.endswith("gamma") else np.zeros
            noise = 0.1 * rng.normal(size=variable.shape)
            variable.assign((start(variable.shape) + noise).astype("float32"))
    model.momentum_start.assign(0.9)
    model.momentum_end.assign(1.0)
    model.momentum_steps.assign(10.0)
    return model


def scheduled_optimizer():
    from keras_asit.optimizers import pretraining_optimizer

    # 4 steps of warm-up in a run of 16: learning rate and decay change every step.
    return pretraining_optimizer(
        batch_size=256, epochs=4, steps_per_epoch=4, base_learning_rate=4e-3
    )


def record():
    """Losses, schedules and weights of three steps as a dictionary of arrays."""
    import keras

    from tiny_asit import clean_views, values

    model = deterministic_pretrainer()
    compiled = "auto" if keras.backend.backend() == "jax" else False
    optimizer = scheduled_optimizer()
    model.compile(optimizer=optimizer, jit_compile=compiled)
    found = {"paths": np.array([variable.path for variable in model.weights])}
    for step in range(STEPS):
        found[f"rate_{step}"] = np.array(float(optimizer.learning_rate))
        found[f"decay_{step}"] = np.array(float(optimizer.weight_decay_now()))
        logs = model.train_on_batch(clean_views(6, seed=step), return_dict=True)
        for name, value in logs.items():
            found[f"{name}_{step}"] = np.array(float(value))
        for i, value in enumerate(values(model.weights)):
            found[f"weight_{step}_{i}"] = value
    return found


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    np.savez(sys.argv[1], **record())
