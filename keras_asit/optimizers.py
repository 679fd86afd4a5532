"""AdamW with a weight decay that follows a schedule."""

import keras
from keras import ops

from keras_asit import replicas
from keras_asit.schedules import WarmupCosine


@keras.saving.register_keras_serializable("keras_asit")
class ScheduledAdamW(keras.optimizers.AdamW):
    """`keras.optimizers.AdamW` whose weight decay may be a schedule too.

    Keras refuses a schedule for `weight_decay`, and a number that a callback
    changes is compiled into the step; so the decay is computed here from
    `iterations`, a variable, and honoured on every backend. Biases and the
    weights of normalisation layers (all one-dimensional weights) are not
    decayed; class token and position embedding are (specification, row 16).

    Args:
        learning_rate: Number or schedule.
        weight_decay: Number or schedule, a pure function of the step.
        beta_1: Decay of the first moment.
        beta_2: Decay of the second moment.
        epsilon: Added to the root of the second moment, before the correction of
            its bias.
        **kwargs: As for `keras.optimizers.AdamW`: `global_clipnorm` clips the
            norm of all gradients together, `clipnorm` each variable's own.

    Example:

    >>> decay = WarmupCosine(0.04, 0.4, steps=1000)
    >>> optimizer = ScheduledAdamW(1e-3, weight_decay=decay, global_clipnorm=3.0)
    """

    def __init__(
        self,
        learning_rate=5e-4,
        weight_decay=0.04,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
        **kwargs,
    ):
        if isinstance(weight_decay, dict):
            weight_decay = keras.saving.deserialize_keras_object(weight_decay)
        super().__init__(
            learning_rate=learning_rate,
            weight_decay=0.0,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            **kwargs,
        )
        self.weight_decay = weight_decay

    def weight_decay_now(self):
        """The weight decay of the coming step, a scalar."""
        decay = self.weight_decay
        return decay(self.iterations) if callable(decay) else decay

    def _apply_weight_decay(self, variables):
        decay = ops.cast(self.weight_decay_now(), "float32")
        rate = ops.cast(self.learning_rate, "float32")
        for variable in variables:
            if len(variable.shape) > 1 and self._use_weight_decay(variable):
                shrink = ops.cast(1.0 - decay * rate, variable.dtype)
                variable.assign(variable * shrink)

    def _clip_gradients(self, grads):
        """Clips the gradient of the global batch.

        Keras clips what each `tf.distribute` replica computed on its slice and sums
        after; so the sum is taken here, and divided again for that later sum.
        """
        clips = self.clipnorm or self.global_clipnorm or self.clipvalue
        number = replicas.count()
        if not clips or number == 1:
            return super()._clip_gradients(grads)
        grads = super()._clip_gradients(replicas.sum_over_replicas(list(grads)))
        return [grad / number for grad in grads]

    def get_config(self):
        decay = self.weight_decay
        if callable(decay):
            decay = keras.saving.serialize_keras_object(decay)
        return {**super().get_config(), "weight_decay": decay}


def pretraining_optimizer(
    *,
    batch_size,
    epochs,
    steps_per_epoch,
    base_learning_rate=5e-4,
    final_learning_rate=1e-6,
    warmup_epochs=10,
    weight_decay=0.04,
    final_weight_decay=0.4,
    clip="global",
    clip_norm=3.0,
):
    """The optimiser of the paper's pretraining (Section 4.2; rows 15 to 17).

    Args:
        batch_size: Clips in the global batch; the learning rate is
            `base_learning_rate * batch_size / 256`.
        epochs: Epochs of the run.
        steps_per_epoch: Steps of an epoch.
        base_learning_rate: Peak learning rate for a batch of 256.
        final_learning_rate: Learning rate at the end of the cosine.
        warmup_epochs: Epochs of linear warm-up, at most a quarter of the run.
        weight_decay: Weight decay at the start of its cosine.
        final_weight_decay: Weight decay at its end.
        clip: `"global"` for the norm of all gradients together, `"variable"`
            for each variable's own (the authors' code), None for no clipping.
        clip_norm: The largest norm.

    Returns:
        A `ScheduledAdamW`.

    Example:

    >>> optimizer = pretraining_optimizer(batch_size=256, epochs=40, steps_per_epoch=9)
    """
    clips = {"global": "global_clipnorm", "variable": "clipnorm", None: None}
    if clip not in clips:
        raise ValueError(
            f"clip is one of 'global', 'variable' or None; received {clip!r}."
        )
    steps = epochs * steps_per_epoch
    warmup_steps = min(warmup_epochs * steps_per_epoch, steps // 4)
    peak = base_learning_rate * batch_size / 256
    return ScheduledAdamW(
        learning_rate=WarmupCosine(peak, final_learning_rate, steps, warmup_steps),
        weight_decay=WarmupCosine(weight_decay, final_weight_decay, steps),
        **({clips[clip]: clip_norm} if clip else {}),
    )
