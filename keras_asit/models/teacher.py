"""The teacher's weights: copied from the student, then its moving average."""

import contextlib

import keras
from keras import ops

# Arguments of a weight that is moved by hand, the same on every replica.
STATE = {
    "trainable": False,
    "dtype": "float32",
    "autocast": False,
    "aggregation": "only_first_replica",
}

_SCHEDULE = {
    "steps_done": 0.0,
    "momentum_start": 0.996,
    "momentum_end": 0.996,
    "momentum_from_step": 0.0,
    "momentum_steps": 1.0,
    "teacher_temperature": 0.04,
}


def add_schedule(model):
    """Gives a pretrainer the numbers of its schedule, each as a weight.

    As weights, EMATeacher sets them without a new trace of the compiled step, and
    a checkpoint holds them.
    """
    for name, value in _SCHEDULE.items():
        start = keras.initializers.Constant(value)
        weight = model.add_weight(name=name, shape=(), initializer=start, **STATE)
        setattr(model, name, weight)


def weight_pairs(teachers, students):
    """Every weight of the teacher with the student's; a shared MLP's once.

    Args:
        teachers: Backbone and heads of the teacher.
        students: Those of the student, in the same order.
    """
    pairs = {}
    for teacher, student in zip(teachers, students, strict=True):
        for theirs, ours in zip(teacher.weights, student.weights, strict=True):
            pairs[id(theirs)] = (theirs, ours)
    return list(pairs.values())


def copy(pairs):
    """`theta_t <- theta_s`."""
    for teacher, student in pairs:
        teacher.assign(ops.copy(student))


def follow(pairs, momentum):
    """`theta_t <- m theta_t + (1 - m) theta_s`."""
    for teacher, student in pairs:
        share = ops.cast(1.0 - momentum, teacher.dtype)
        teacher.assign(teacher + share * (student - teacher))


def update_after(train_step, model, *args):
    """A training step with `model.update_teacher()` behind it, on every backend.

    Args:
        train_step: `keras.Model.train_step` of the model.
        model: The pretrainer.
        *args: Of the step: `data`, on JAX `state, data`.
    """
    if keras.backend.backend() != "jax":
        logs = train_step(*args)
        with _operations_after(logs):
            model.update_teacher()
        return logs
    logs, (trainable, non_trainable, optimizer, metrics) = train_step(*args)
    mapping = [
        *zip(model.trainable_variables, trainable, strict=True),
        *zip(model.non_trainable_variables, non_trainable, strict=True),
    ]
    with keras.StatelessScope(state_mapping=mapping) as scope:
        model.update_teacher()
    non_trainable = [scope.get_current_value(v) for v in model.non_trainable_variables]
    return logs, (trainable, non_trainable, optimizer, metrics)


def _operations_after(logs):
    """A scope whose operations run after those that make the logs.

    The step counter does not depend on the batch: in a graph of TensorFlow it
    would count the step that finds the data exhausted.
    """
    if keras.backend.backend() != "tensorflow":
        return contextlib.nullcontext()
    import tensorflow as tf

    return tf.control_dependencies(keras.tree.flatten(logs))
