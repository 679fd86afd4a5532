"""What a callback must know of the processes that train one model together.

On TensorFlow they are the workers of a `MultiWorkerMirroredStrategy`, on JAX those of
`keras.distribution.initialize`.
"""

import functools

import keras
import numpy as np


def count(model):
    """How many processes train the model."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.process_count()
    return max(1, len(_workers(model)))


def index(model):
    """Number of this process among them; 0 is the one that writes files."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.process_index()
    if count(model) == 1:
        return 0
    resolver = model.distribute_strategy.cluster_resolver
    return _workers(model).index((resolver.task_type, resolver.task_id))


def check_one(model, what):
    """Refuses what one process of several cannot do without the others.

    Args:
        model: What is trained.
        what: Who asks, for the message.

    Raises:
        ValueError: Where several processes train the model.
    """
    if count(model) > 1:
        raise ValueError(
            f"Expected one process for {what}, which need the whole model in one. "
            f"Received: {count(model)} processes. Leave it out there, and look at the "
            "checkpoints or presets of the run with a program of one process"
        )


def all_of(number, model):
    """A whole number of each process, as a list; all of them must ask for it."""
    if count(model) == 1:
        return [number]
    if keras.backend.backend() == "jax":
        from jax.experimental import multihost_utils

        return multihost_utils.process_allgather(np.int32(number)).tolist()
    mine = np.zeros(count(model), "int64")
    mine[index(model)] = number
    return _maximum(model.distribute_strategy)(mine)


def _workers(model):
    """Type and number of every worker of a TensorFlow cluster, the first one first."""
    strategy = getattr(model, "distribute_strategy", None)
    resolver = getattr(strategy, "cluster_resolver", None)
    tasks = resolver.cluster_spec().as_dict() if resolver else {}
    return [
        (kind, number)
        for kind in ("chief", "worker")
        for number in range(len(tasks.get(kind, ())))
    ]


@functools.cache
def _maximum(strategy):
    """A function of an array, to a list of its largest values over all workers."""
    import tensorflow as tf

    @tf.function
    def on_replicas(numbers):
        def exchange(numbers):
            gathered = tf.distribute.get_replica_context().all_gather(
                tf.identity(numbers)[None], axis=0
            )
            return tf.reduce_max(gathered, axis=0)

        return strategy.run(exchange, args=(numbers,))

    def maximum(numbers):
        found = on_replicas(tf.constant(numbers))
        return strategy.experimental_local_results(found)[0].numpy().tolist()

    return maximum
