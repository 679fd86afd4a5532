"""AdamW with a weight decay that follows a schedule."""

import keras
from keras import ops

from keras_asit import replicas
from keras_asit.layer_rates import layer_scales
from keras_asit.schedules import WarmupCosine
from keras_asit.squares import sums_of_squares

_PAPER = {
    # Row 15.
    "base_learning_rate": 5e-4,
    "final_learning_rate": 1e-6,
    "warmup_epochs": 10,
    # Row 16.
    "weight_decay": 0.04,
    "final_weight_decay": 0.4,
    # Row 17.
    "clip": "global",
    "clip_norm": 3.0,
}

# What the profiles choose for the optimiser (specification, rows 15 to 17).
PROFILES = {"paper": _PAPER, "reference": {**_PAPER, "clip": "variable"}}


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
        layer_decay: Factor of the learning rate (and so of the weight decay) from each
            layer of an `ASiTBackbone` to the one before: the head learns at the full
            rate, the last block at `layer_decay` times it, the patch embedding
            slowest (after BEiT and MAE). 1 for one rate.
        l2: Penalty on the squares of all weights, added to the clipped gradients as
            PyTorch's Adam does (AST's 5e-7), unlike the weight decay.
        **kwargs: As for `keras.optimizers.AdamW`: `global_clipnorm` clips the
            norm of all gradients together, `clipnorm` each variable's own.

    Raises:
        ValueError: If the weight decay is None, `layer_decay` is not in (0, 1] or `l2`
            is below 0.

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
        layer_decay=1.0,
        l2=0.0,
        **kwargs,
    ):
        if not 0 < layer_decay <= 1 or l2 < 0:
            raise ValueError(
                "layer_decay is in (0, 1], l2 0 or more; received "
                f"layer_decay={layer_decay!r}, l2={l2!r}."
            )
        if isinstance(weight_decay, dict):
            weight_decay = keras.saving.deserialize_keras_object(weight_decay)
        if weight_decay is None:
            raise ValueError(
                "weight_decay is a number or a schedule; received None. Give 0 for "
                "no weight decay."
            )
        super().__init__(
            learning_rate=learning_rate,
            weight_decay=0.0,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            **kwargs,
        )
        self.weight_decay = weight_decay
        self.layer_decay, self.l2 = layer_decay, l2

    def build(self, variables):
        """As `keras.optimizers.Optimizer.build`; sees how deep each variable lies."""
        super().build(variables)
        self._rate_scales = layer_scales(
            [variable.path for variable in variables], self.layer_decay
        )

    def _rate_scale(self, variable):
        return self._rate_scales[self._get_variable_index(variable)]

    def weight_decay_now(self):
        """The weight decay of the coming step, a scalar."""
        decay = self.weight_decay
        return decay(self.iterations) if callable(decay) else decay

    def _apply_weight_decay(self, variables):
        decay = ops.cast(self.weight_decay_now(), "float32")
        rate = decay * ops.cast(self.learning_rate, "float32")
        for variable in variables:
            if len(variable.shape) > 1 and self._use_weight_decay(variable):
                kept = 1.0 - rate * self._rate_scale(variable)
                variable.assign(variable * ops.cast(kept, variable.dtype))

    def apply(self, grads, trainable_variables=None):
        """As `keras.optimizers.Optimizer.apply`."""
        step = ops.cast(self.iterations + 1, "float32")
        self._beta_powers = [
            ops.power(ops.cast(beta, "float32"), step)
            for beta in (self.beta_1, self.beta_2)
        ]
        super().apply(grads, trainable_variables)

    def update_step(self, gradient, variable, learning_rate):
        """One variable's step; on TensorFlow one operation in place of forty.

        Half of the step's graph were these, and they read the moments several times.
        """
        learning_rate = learning_rate * self._rate_scale(variable)
        if self.l2:  # here, where it is clipped and summed over replicas
            gradient = gradient + self.l2 * ops.cast(variable, gradient.dtype)
        elsewhere = keras.backend.backend() != "tensorflow"
        if elsewhere or replicas.is_strategy_set() or self.amsgrad:
            return super().update_step(gradient, variable, learning_rate)
        import tensorflow as tf

        number = self._get_variable_index(variable)
        powers = [tf.cast(power, variable.dtype) for power in self._beta_powers]
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[number]),
            v=_handle(self._velocities[number]),
            beta1_power=powers[0],
            beta2_power=powers[1],
            lr=tf.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, variable.dtype),
        )

    def _clip_gradients(self, grads):
        """Clips the gradient of the global batch.

        Keras clips what each `tf.distribute` replica computed on its slice and sums
        after; so the sum is taken here, and divided again for that later sum.
        """
        clips = self.clipnorm or self.global_clipnorm or self.clipvalue
        number = replicas.count()
        if not clips or number == 1:
            return self._clipped(grads)
        grads = self._clipped(replicas.sum_over_replicas(list(grads)))
        return [grad / number for grad in grads]

    def _clipped(self, grads):
        """As Keras; by each variable's own norm in a third of TensorFlow's operations.

        XLA compiles equal operations once, but not those on parts of one stack.
        """
        if not self.clipnorm or keras.backend.backend() != "tensorflow":
            return super()._clip_gradients(grads)
        norms = ops.sqrt(sums_of_squares(grads))
        shares = ops.unstack(self.clipnorm / ops.maximum(norms, self.clipnorm))
        return [g * ops.cast(share, g.dtype) for g, share in zip(grads, shares)]

    def get_config(self):
        decay = self.weight_decay
        if callable(decay):
            decay = keras.saving.serialize_keras_object(decay)
        return {
            **super().get_config(),
            "weight_decay": decay,
            "layer_decay": self.layer_decay,
            "l2": self.l2,
        }


def _handle(variable):
    """TensorFlow's resource of a variable, Keras' or its own."""
    is_keras = isinstance(variable, keras.Variable)
    return (variable.value if is_keras else variable).handle


def pretraining_optimizer(
    *,
    batch_size,
    epochs,
    steps_per_epoch,
    profile="paper",
    base_learning_rate=None,
    final_learning_rate=None,
    warmup_epochs=None,
    weight_decay=None,
    final_weight_decay=None,
    clip="profile",
    clip_norm=None,
):
    """The optimiser of the paper's pretraining (Section 4.2; rows 15 to 17).

    What is not given is the profile's: the same in both but for `clip`.

    Args:
        batch_size: Clips in the global batch; the learning rate is
            `base_learning_rate * batch_size / 256`.
        epochs: Epochs of the run.
        steps_per_epoch: Steps of an epoch.
        profile: `"paper"` (the text) or `"reference"` (the authors' code), as for
            `ASiTPretrainer`.
        base_learning_rate: Peak learning rate for a batch of 256; 5e-4.
        final_learning_rate: Learning rate at the end of the cosine; 1e-6.
        warmup_epochs: Epochs of linear warm-up, at most a quarter of the run; 10.
        weight_decay: Weight decay at the start of its cosine; 0.04.
        final_weight_decay: Weight decay at its end; 0.4.
        clip: `"global"` for the norm of all gradients together (paper),
            `"variable"` for each variable's own (reference), None for no clipping.
        clip_norm: The largest norm; 3.

    Returns:
        A `ScheduledAdamW`.

    Raises:
        ValueError: If the profile or `clip` is unknown.

    Example:

    >>> optimizer = pretraining_optimizer(batch_size=256, epochs=40, steps_per_epoch=9)
    """
    if profile not in PROFILES:
        raise ValueError(
            f"Expected a profile of {sorted(PROFILES)}; received {profile!r}."
        )
    given = {
        "base_learning_rate": base_learning_rate,
        "final_learning_rate": final_learning_rate,
        "warmup_epochs": warmup_epochs,
        "weight_decay": weight_decay,
        "final_weight_decay": final_weight_decay,
        "clip_norm": clip_norm,
    }
    chosen = PROFILES[profile] | {k: v for k, v in given.items() if v is not None}
    clip = chosen["clip"] if clip == "profile" else clip
    steps = epochs * steps_per_epoch
    warmup_steps = min(chosen["warmup_epochs"] * steps_per_epoch, steps // 4)
    peak = chosen["base_learning_rate"] * batch_size / 256
    return ScheduledAdamW(
        learning_rate=WarmupCosine(
            peak, chosen["final_learning_rate"], steps, warmup_steps
        ),
        weight_decay=WarmupCosine(
            chosen["weight_decay"], chosen["final_weight_decay"], steps
        ),
        **clipping(clip, chosen["clip_norm"]),
    )


def clipping(clip, norm):
    """The argument of an optimiser that clips so: see `pretraining_optimizer`."""
    arguments = {"global": "global_clipnorm", "variable": "clipnorm", None: None}
    if clip not in arguments:
        raise ValueError(
            f"clip is one of 'global', 'variable' or None; received {clip!r}."
        )
    return {arguments[clip]: norm} if clip else {}
