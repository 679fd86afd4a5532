"""The teacher's weights: copied from the student, then its moving average."""

import keras
from keras import ops

from keras_asit.squares import sums_of_squares

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
    """`theta_t <- m theta_t + (1 - m) theta_s`.

    Returns:
        How far they were apart, `|theta_s - theta_t| / |theta_t|`.
    """
    apart = [student - teacher for teacher, student in pairs]
    # Before any moves: TensorFlow reads a variable where it is used.
    gap, length = (
        ops.sum(sums_of_squares(x)) for x in (apart, [teacher for teacher, _ in pairs])
    )
    rate = 1.0 - momentum
    for (teacher, _), way in zip(pairs, apart):
        teacher.assign_add(ops.cast(rate, teacher.dtype) * way)
    return ops.sqrt(gap / ops.maximum(length, 1e-20))
