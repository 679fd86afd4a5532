"""What pretrainer and classifier do alike where several devices share a batch."""

import keras

from keras_asit import checkpoints, replicas
from keras_asit.models import device_batches


class OnDevices:
    """For a `keras.Model`: a check of what is evaluated, and many processes."""

    def evaluate(self, x=None, *args, **kwargs):
        """As `keras.Model.evaluate`, with the check of `fit` on the batches.

        Random generators are put back: training goes on as if nothing was evaluated.
        """
        x = device_batches.checked_evaluate(self, x, args, kwargs)
        states = checkpoints.seed_states(self)
        before = checkpoints.values_of(states)
        try:
            return super().evaluate(x, *args, **kwargs)
        finally:
            checkpoints.assign(states, before)

    def make_train_function(self, force=False):
        """As Keras', after the optimizer's variables are made.

        TensorFlow traces a step that makes variables a second time. On JAX Keras makes
        them, where it lays out what is distributed.
        """
        if keras.backend.backend() != "jax" and self.optimizer is not None:
            checkpoints.build_optimizer(self)
        super().make_train_function(force)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """On TensorFlow, what Keras builds from a first batch.

        It takes the mean over all processes for its shape, which TensorFlow refuses
        where a batch is more than one array. This process' part has the shape too.
        """
        strategy = self.distribute_strategy
        if iterator is not None and replicas.workers(strategy) > 1:
            _, _, batches = next(iter(iterator))
            data_batch = keras.tree.map_structure(
                lambda x: strategy.experimental_local_results(x)[0], next(batches)
            )
            iterator = None
        super()._maybe_symbolic_build(iterator=iterator, data_batch=data_batch)
