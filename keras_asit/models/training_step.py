"""One training step: gradients, an update where all is finite, then the teacher.

The same on every backend. `ASiTPretrainer` says what is optimised and what follows the
optimiser; here it is differentiated and applied.
"""

from numbers import Integral

import keras
from keras import ops

from keras_asit import replicas
from keras_asit.models import objective
from keras_asit.squares import sums_of_squares


def train_step(model, *args):
    """One step of an `ASiTPretrainer`, inside the function that Keras compiles.

    A step in which the loss or a gradient is not finite changes no weight: student,
    optimiser, centres and teacher stay as they were.

    Args:
        model: The pretrainer, compiled.
        *args: `data`; on JAX `state, data`, as of `keras.Model.train_step`.

    Returns:
        The logs; on JAX the logs and the new state.
    """
    step = _functional_step if keras.backend.backend() == "jax" else _stateful_step
    return step(model, *args)


def check_accumulation(steps, optimizer):
    """Refuses what would not be the step of the whole batch.

    Raises:
        ValueError: As of `ASiTPretrainer.compile`.
    """
    if not isinstance(steps, Integral) or steps < 1:
        raise ValueError(
            "Expected gradient_accumulation_steps, a whole number of 1 or more. "
            f"Received: {steps!r}"
        )
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    theirs = getattr(inner, "gradient_accumulation_steps", None)
    if theirs:
        raise ValueError(
            "Expected an optimizer that does not accumulate by itself. Received: "
            f"gradient_accumulation_steps={theirs} of {type(inner).__name__}; "
            "schedules and teacher would count the parts. Give it to compile: "
            f"compile(optimizer, gradient_accumulation_steps={theirs}), and batches "
            "that are as much larger"
        )


def _stateful_step(model, data):
    """On TensorFlow and torch variables change in place."""
    views, _, _ = keras.utils.unpack_x_y_sample_weight(data)
    batch = objective.prepare(model, views, training=True)
    totals = objective.totals(model, batch)
    variables = model.trainable_variables
    scale = model.optimizer.scale_loss(1.0)

    def differentiate(part):
        def forward():
            parts, statistics = objective.forward(model, part, totals, training=True)
            loss = model.compute_loss(y_pred=parts)
            return loss * scale, {"parts": parts, "statistics": statistics}

        gradients, found = _gradients(forward, variables)
        return {"gradients": gradients, **found}

    found = _sum_over_parts(model, batch, differentiate)
    gradients = replicas.sum_over_replicas(found["gradients"])
    parts = _mean_over_replicas(found["parts"])
    norm, finite = _norm(gradients, scale, parts)
    # The optimiser sums over the replicas again, after it has clipped.
    gradients = replicas.on_the_first(gradients)
    _update_where(finite, model.optimizer, gradients, variables)
    clips = ops.shape(views)[0]
    model.finish_step(parts, found["statistics"], clips, norm, finite)
    return model.track(parts, clips, finite)


def _functional_step(model, state, data):
    """On JAX a step is a function of the values of all variables."""
    import jax

    views, _, _ = keras.utils.unpack_x_y_sample_weight(data)
    groups = (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
    trainable, others, optimizer, metrics = map(list, state)

    def run(function, *values):
        """The function's result, and the variables' values after it."""
        pairs = [pair for group in zip(groups, values) for pair in zip(*group)]
        with keras.StatelessScope(state_mapping=pairs) as scope:
            result = function()
        new = [[scope.get_current_value(v) for v in group] for group in groups]
        return result, new

    def begin():
        batch = objective.prepare(model, views, training=True)
        return batch, objective.totals(model, batch), model.optimizer.scale_loss(1.0)

    (batch, totals, scale), (_, others, _, _) = run(
        begin, trainable, others, optimizer, metrics
    )

    def differentiate(part, others):
        def loss_of(trainable):
            def forward():
                parts, statistics = objective.forward(
                    model, part, totals, training=True
                )
                return model.compute_loss(y_pred=parts), parts, statistics

            (loss, parts, statistics), new = run(
                forward, trainable, others, optimizer, metrics
            )
            return loss * scale, ({"parts": parts, "statistics": statistics}, new[1])

        gradients, (found, others) = jax.grad(loss_of, has_aux=True)(trainable)
        return {"gradients": gradients, **found}, others

    found, others = _sum_over_parts(model, batch, differentiate, others)
    norm, finite = _norm(found["gradients"], scale, found["parts"])
    gradients = found["gradients"]
    if _skips_by_itself(model.optimizer):
        gradients = _not_finite_where_not(finite, gradients)
    new = model.optimizer.stateless_apply(optimizer, gradients, trainable)
    if not _skips_by_itself(model.optimizer):
        new = keras.tree.map_structure(
            lambda new, old: ops.where(finite, new, old), new, (trainable, optimizer)
        )
    trainable, optimizer = new

    def finish():
        clips = ops.shape(views)[0]
        model.finish_step(found["parts"], found["statistics"], clips, norm, finite)
        return model.track(found["parts"], clips, finite)

    logs, (_, others, _, metrics) = run(finish, trainable, others, optimizer, metrics)
    return logs, (trainable, others, optimizer, metrics)


def _gradients(forward, variables):
    """Gradients of the first result of `forward`, and the second."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss, found = forward()
        return tape.gradient(loss, variables, unconnected_gradients="zero"), found
    import torch

    with torch.enable_grad():
        loss, found = forward()
    gradients = torch.autograd.grad(
        loss, [v.value for v in variables], allow_unused=True
    )
    gradients = [
        ops.zeros_like(v.value) if gradient is None else gradient
        for gradient, v in zip(gradients, variables)
    ]
    return gradients, keras.tree.map_structure(lambda x: x.detach(), found)


def _sum_over_parts(model, batch, differentiate, *state):
    """What `differentiate` gives, summed over the parts that a batch is cut into.

    Args:
        model: The pretrainer: in how many parts, and of what shapes the sums are.
        batch: Dict of tensors `(B, ...)`.
        differentiate: Function of a part and the state, to what is summed; where there
            is a state, also to the next state.
        *state: What goes on from one part to the next.
    """
    number = model.gradient_accumulation_steps
    if number == 1:
        return differentiate(batch, *state)
    parts = keras.tree.map_structure(lambda x: _cut(x, number), batch)
    zeros = {
        "gradients": [ops.zeros(v.shape, v.dtype) for v in model.trainable_variables],
        **objective.empty_sums(model),
    }

    def add(i, sums_and_state):
        sums, *state = sums_and_state
        part = keras.tree.map_structure(lambda x: x[:, i], parts)
        found = differentiate(part, *state)
        found, *state = found if state else (found,)
        return keras.tree.map_structure(ops.add, sums, found), *state

    found = ops.fori_loop(0, number, add, (zeros, *state))
    return found if state else found[0]


def _cut(x, number):
    """`(B, ...)` -> `(B / number, number, ...)`.

    Part i has clips i, i + number and so on, so that devices that share a batch share
    each part of it.
    """
    if x.shape[0] is not None and x.shape[0] % number:
        raise ValueError(
            "Expected batches that gradient_accumulation_steps divides. Received: a "
            f"batch of {x.shape[0]} clips and gradient_accumulation_steps={number}. "
            "Choose another batch_size, and leave a smaller last batch out "
            "(drop_remainder=True)"
        )
    return ops.reshape(x, (-1, number, *x.shape[1:]))


def _mean_over_replicas(values):
    """What all replicas have of the global batch, of values that are means over it."""
    number = replicas.count()
    if number == 1:
        return values
    total = replicas.sum_over_replicas(values)
    return keras.tree.map_structure(lambda x: x / number, total)


def _norm(gradients, scale, parts):
    """The norm of the gradient of the global batch, and whether the step is finite."""
    if not (isinstance(scale, float) and scale == 1.0):
        gradients = [ops.cast(g, "float32") / scale for g in gradients]
    norm = ops.sqrt(ops.sum(sums_of_squares(gradients)))
    return norm, ops.isfinite(norm + sum(parts.values()))


def _skips_by_itself(optimizer):
    """Such an optimiser must see what is not finite, to lower its scale."""
    return isinstance(optimizer, keras.optimizers.LossScaleOptimizer)


def _not_finite_where_not(finite, gradients):
    """So that an optimiser that looks at the gradients alone skips the step too."""
    return [ops.where(finite, g, ops.cast(float("nan"), g.dtype)) for g in gradients]


def _update_where(finite, optimizer, gradients, variables):
    """Applies gradients, and nothing where they are not finite."""

    def update():
        optimizer.apply(gradients, variables)

    backend = keras.backend.backend()
    if _skips_by_itself(optimizer):
        gradients = _not_finite_where_not(finite, gradients)
        update()
    elif backend == "torch":
        if finite:
            update()
    elif replicas.is_strategy_set():
        # Replicas, even a single one, meet in the update, which TensorFlow refuses
        # within a branch.
        changing = [*variables, *optimizer.variables]
        before = [ops.copy(variable) for variable in changing]
        update()
        for variable, old in zip(changing, before):
            new = ops.convert_to_tensor(variable)
            variable.assign(ops.where(finite, new, old))
    else:
        import tensorflow as tf

        tf.cond(finite, update, lambda: None)
