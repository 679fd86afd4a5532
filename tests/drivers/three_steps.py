"""Three training steps without chance, on one device or on many logical CPU devices.

    python tests/drivers/three_steps.py one|KIND OUT NUMBER

Weights, batches and masks come from numpy and stochastic depth is off, so that
whatever two backends, or one device and many, disagree on is arithmetic. The kinds are
those of `many_devices.py`, with `/2` behind for batches in two parts; what process
NUMBER holds is written to OUT-NUMBER.npz. Each needs a process of its own: collectives
of different sizes do not mix in one.
"""

import functools
import re
import sys
from pathlib import Path

import numpy as np

STEPS = 3
CLIPS = 8
TESTS = Path(__file__).resolve().parent.parent


def views():
    """A global batch for each step; its second half has the larger masks."""
    from tiny_asit import clean_views

    return [clean_views(CLIPS, seed=step) for step in range(STEPS)]


def pretrainer():
    """A pretrainer whose weights numpy draws in their order."""
    from tiny_asit import LoudPixels, tiny_pretrainer

    model = tiny_pretrainer(
        corruption_layer=LoudPixels(),
        drop_path=0.0,
        reconstruction_weight=2.0,
        local_weight=0.5,
        name="pretrainer",  # Keras numbers the models of a process otherwise
    )
    rng = np.random.default_rng(5)
    for variable in model.weights:
        if variable.ndim:
            noise = 0.1 * rng.normal(size=variable.shape)
            start = 1.0 if variable.path.endswith("gamma") else 0.0
            variable.assign((start + noise).astype("float32"))
    return model


def train(model, parts=1):
    """Logs, learning rate, weight decay and weights of each step, as one dictionary."""
    from keras_asit.callbacks import EMATeacher
    from keras_asit.optimizers import pretraining_optimizer

    # 4 steps of warm-up in a run of 16: rate and decay change with every step.
    optimizer = pretraining_optimizer(
        batch_size=256, epochs=4, steps_per_epoch=4, base_learning_rate=4e-3
    )
    # What fine-tuning adds: neither may be summed over devices.
    optimizer.l2, optimizer.layer_decay = 0.05, 0.8
    model.compile(optimizer=optimizer, gradient_accumulation_steps=parts)
    teacher = EMATeacher(0.9, total_steps=10)
    found = {}
    for step, batch in enumerate(views()):
        found[f"rate_{step}"] = float(optimizer.learning_rate)
        found[f"decay_{step}"] = float(optimizer.weight_decay_now())
        clips = _of_process(batch)
        history = model.fit(
            clips,
            batch_size=len(clips),
            initial_epoch=step,
            epochs=step + 1,
            callbacks=[teacher],
            shuffle=False,
            verbose=0,
        )
        for name, value in history.history.items():
            found[f"{name}_{step}"] = value[0]
        for i, variable in enumerate(model.weights):
            found[f"weight_{step}_{i}"] = np.stack(copies(variable))
    return found


def _of_process(batch):
    """On JAX each process gives `fit` its part of the batch, elsewhere all of it."""
    from keras_asit.distribution import share_of_process

    part, parts = share_of_process()
    return np.split(batch, parts)[part]


def copies(variable):
    """What each device holds of a variable; each group of them, where they split it."""
    value = variable.value
    if not hasattr(value, "addressable_shards"):
        return [component.numpy() for component in getattr(value, "values", (value,))]
    found = {}
    for shard in value.addressable_shards:
        whole = found.setdefault(shard.replica_id, np.full(value.shape, np.nan))
        whole[shard.index] = np.asarray(shard.data)
    return [found[replica].astype("float32") for replica in sorted(found)]


def without_key_bias(path, value):
    """A weight, less what no loss depends on.

    Softmax takes no notice of what all keys share (see test_transformer_block.py), so
    the gradient of the keys' bias is rounding alone, and Adam, which divides it by its
    own size, makes steps of it that the order of a sum decides.
    """
    if not path.endswith("qkv/bias"):
        return value
    query, _, values = np.split(value, 3, axis=-1)
    return np.concatenate([query, values], axis=-1)


def split_over(variables):
    """Paths of the variables of which no device holds all."""
    return [
        _unnumbered(v.path) for v in variables
        if hasattr(v.value, "sharding") and not v.value.sharding.is_fully_replicated
    ]  # fmt: skip


def _unnumbered(path):
    """A path without the numbers that Keras counts through a process."""
    return re.sub(r"_\d+(?=/)", "", path)


@functools.cache
def on_one_device(parts=1):
    """What training leaves, wherever: the devices are chosen before."""
    model = pretrainer()
    found = train(model, parts)
    return {
        "paths": np.array([_unnumbered(weight.path) for weight in model.weights]),
        "split": np.array(split_over([*model.weights, *model.optimizer.variables])),
        **found,
    }


def on_many_devices(kind):
    from drivers import many_devices

    kind, _, parts = kind.partition("/")
    strategy = many_devices.strategy(kind)
    with many_devices.scope(strategy):
        found = on_one_device(int(parts or 1))
        if strategy:
            found |= draws_of_replicas(strategy)
        if kind == "mirrored":
            found["balanced_center"] = balanced_center_of_replicas(strategy)
            found["clipped"] = clipped_step_of_replicas(strategy)
    return found


def center_and_logits():
    """A centre and the teacher's logits of a batch, for both replicas together."""
    rng = np.random.default_rng(0)
    center, logits = rng.normal(size=8), rng.normal(size=(2, 6, 8))
    return (0.1 * center).astype("float32"), (0.1 * logits).astype("float32")


def balanced_center_of_replicas(strategy):
    """What each of two replicas makes of its half of the logits."""
    import tensorflow as tf

    from keras_asit import losses, replicas

    center, logits = center_and_logits()

    @tf.function
    def update():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        labels, _ = losses.pseudo_labels(tf.gather(logits, replica), center, 0.04)
        use = replicas.sum_over_replicas(tf.reduce_sum(labels, axis=0))
        return losses.balanced_center(center, use / 12, 0.04)

    return np.stack([x.numpy() for x in strategy.run(update).values])


def clipped_step_of_replicas(strategy):
    """A variable after a step of Keras' SGD, clipped, as `training_step` takes it."""
    import keras
    import tensorflow as tf

    from keras_asit import replicas

    _, gradients = center_and_logits()
    with strategy.scope():
        variable = keras.Variable(np.zeros(8, "float32"))
        optimizer = keras.optimizers.SGD(1.0, global_clipnorm=0.01)
        optimizer.build([variable])

    @tf.function
    def step():
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        mine = tf.reduce_sum(tf.gather(gradients, replica), axis=0)
        whole = replicas.sum_over_replicas([mine])
        optimizer.apply(replicas.on_the_first(whole), [variable])

    strategy.run(step)
    return np.stack(copies(variable))


def draws_of_replicas(strategy):
    """What the replicas of this process draw, layer by layer.

    `plain` is what they draw of Keras' own generator.
    """
    import keras
    import tensorflow as tf

    from keras_asit.layers import DropPath, GMMLCorruption, RandomFilter

    clean = np.random.default_rng(0).normal(size=(4, 48, 32)).astype("float32")
    corruption = GMMLCorruption(seed=3)
    corruption.build(clean.shape)
    drop, colour = DropPath(0.5, seed=3), RandomFilter(seed=3)
    plain = keras.random.SeedGenerator(3)

    @tf.function
    def draw():
        return {
            "masks": corruption(clean)[1],
            "dropped": drop(tf.ones((64, 2)), training=True),
            "filtered": colour(clean, training=True),
            "plain": keras.random.uniform((4,), seed=plain),
        }

    return {
        name: np.stack([x.numpy() for x in strategy.experimental_local_results(drawn)])
        for name, drawn in strategy.run(draw).items()
    }


if __name__ == "__main__":
    sys.path[:0] = [str(TESTS), str(TESTS.parent)]
    kind, out, number = sys.argv[1:]
    found = on_one_device() if kind == "one" else on_many_devices(kind)
    np.savez(f"{out}-{number}.npz", **found)
