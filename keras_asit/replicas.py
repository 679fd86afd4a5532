"""What a layer or a loss must know about `tf.distribute` replicas.

On JAX a batch is one global array and nothing here is needed. On TensorFlow
every replica runs the step on its own slice of the batch, so that sums over
the global batch need a collective and random draws must differ by replica.
"""

import sys

import keras
from keras import ops


def _strategy():
    """The `tf.distribute` strategy in force, or None where there are no replicas."""
    if keras.backend.backend() != "tensorflow" or "tensorflow" not in sys.modules:
        return None
    import tensorflow as tf

    strategy = tf.distribute.get_strategy()
    return strategy if strategy.num_replicas_in_sync > 1 else None


def count():
    """Number of replicas that train in step: 1 without a strategy and on JAX."""
    strategy = _strategy()
    return strategy.num_replicas_in_sync if strategy else 1


def is_strategy_set():
    """Whether a `tf.distribute` strategy is in force, be it of one replica only."""
    if keras.backend.backend() != "tensorflow" or "tensorflow" not in sys.modules:
        return False
    import tensorflow as tf

    return tf.distribute.has_strategy()


def share_a_batch():
    """Whether more than one device works on a batch, on either backend."""
    return count() > 1 or keras.distribution.distribution() is not None


def workers(strategy=None):
    """Number of processes that a `tf.distribute` strategy spans; 1 on JAX.

    Args:
        strategy: By default the one in force.
    """
    strategy = strategy or _strategy()
    if strategy is None or strategy.num_replicas_in_sync == 1:
        return 1
    return strategy.num_replicas_in_sync // len(strategy.extended.worker_devices)


def as_logs(logs):
    """What a step returns as logs, as Keras can reduce them over the replicas.

    Between processes Keras means them over their first axis, which scalars have not.

    Args:
        logs: Dict of scalars.
    """
    if _context() is None or workers() == 1:
        return logs
    return {name: ops.reshape(value, (1,)) for name, value in logs.items()}


def _context():
    """The replica context when called inside `strategy.run`, else None."""
    if _strategy() is None:
        return None
    import tensorflow as tf

    return tf.distribute.get_replica_context()


def sum_over_replicas(x):
    """Sum of a tensor over all replicas; the tensor itself without replicas."""
    context = _context()
    return context.all_reduce("sum", x) if context else x


def on_the_first(tensors):
    """Tensors on the first replica, zeros of them on the others; all without replicas.

    What is not finite stays so on every replica.
    """
    context = _context()
    if context is None:
        return tensors
    is_first = ops.equal(context.replica_id_in_sync_group, 0)
    return [x * ops.cast(is_first, x.dtype) for x in tensors]


@keras.saving.register_keras_serializable("keras_asit")
class ReplicaSeedGenerator(keras.random.SeedGenerator):
    """A `keras.random.SeedGenerator` whose draws differ between replicas.

    Under `tf.distribute` the state is mirrored, so the plain generator gives
    every replica the same numbers and every slice of the batch the same
    corruption. Here the replica's index is folded into each seed. Without
    replicas the draws are those of the plain generator.

    Args:
        seed: Integer, or None for a random one.
    """

    def next(self, ordered=True):
        seed = super().next(ordered=ordered)
        context = _context()
        if context is None:
            return seed
        index = ops.cast(context.replica_id_in_sync_group, seed.dtype)
        return seed + ops.stack([index * 7919, ops.zeros_like(index)])
