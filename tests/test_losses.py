import keras
import numpy as np
import pytest
from keras import ops

from keras_asit.losses import (
    ClassCrossentropy,
    balanced_center,
    class_accuracy,
    cross_entropy,
    mean_center,
    multi_label_accuracy,
    pseudo_labels,
    reconstruction_loss,
    weighted_mean,
)


def normal(*shape, seed=0, scale=1.0):
    values = scale * np.random.default_rng(seed).normal(size=shape)
    return values.astype("float32")


def log_softmax(x):
    x = x - x.max(axis=-1, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=-1, keepdims=True))


def centred_cross_entropy(
    teacher_logits, student_logits, center, *, teacher_temperature, student_temperature
):
    """Equations 3 to 6 as a pretrainer takes them, one after the other."""
    labels, _ = pseudo_labels(teacher_logits, center, teacher_temperature)
    return cross_entropy(labels, student_logits, student_temperature)


def plain_cross_entropy(
    teacher, student, center, teacher_temperature, student_temperature
):
    """Equations 3 to 6 in plain numpy, float64."""
    teacher, student, center = (
        np.asarray(x, "float64") for x in (teacher, student, center)
    )
    targets = np.exp(log_softmax((teacher - center) / teacher_temperature))
    return -np.sum(targets * log_softmax(student / student_temperature), axis=-1)


def test_weighted_mean_by_hand():
    # (1 * 2 + 3 * 4) / (1 + 3) = 3.5
    assert float(weighted_mean(np.array([2.0, 9.0, 4.0]), np.array([1, 0, 3]))) == 3.5


def test_reconstruction_loss_by_hand():
    clean = np.array([[[1.0, 2.0], [3.0, 4.0]]], "float32")
    reconstruction = np.array([[[1.5, 0.0], [9.0, 4.0]]], "float32")
    mask = np.array([[[1.0, 1.0], [0.0, 1.0]]], "float32")
    # Changed pixels only: (0.5 + 2 + 0) / 3.
    loss = reconstruction_loss(clean, reconstruction, mask)
    assert float(loss) == pytest.approx(2.5 / 3, rel=1e-6)
    everywhere = reconstruction_loss(clean, reconstruction, np.ones_like(mask))
    assert float(everywhere) == pytest.approx(8.5 / 4, rel=1e-6)


def test_an_empty_mask_gives_zero():
    x = normal(2, 4, 4)
    assert float(reconstruction_loss(x, x + 1, np.zeros_like(x))) == 0.0
    assert float(weighted_mean(normal(5), np.zeros(5))) == 0.0


def test_pixels_outside_the_mask_do_not_matter():
    clean, reconstruction = normal(2, 4, 4), normal(2, 4, 4, seed=1)
    mask = (normal(2, 4, 4, seed=2) > 0).astype("float32")
    loss = float(reconstruction_loss(clean, reconstruction, mask))
    elsewhere = reconstruction + 100 * (1 - mask)
    assert float(reconstruction_loss(clean, elsewhere, mask)) == loss


def test_cross_entropy_by_hand():
    """Two classes: probabilities 0.75 and 0.25, student 0.5 and 0.5 is log 2."""
    teacher = 0.05 * np.log([[3.0, 1.0]])
    zeros = np.zeros((1, 2), "float32")
    temperatures = {"teacher_temperature": 0.05, "student_temperature": 0.1}
    out = centred_cross_entropy(teacher, zeros, np.zeros(2), **temperatures)
    assert tuple(out.shape) == (1,)
    assert float(out[0]) == pytest.approx(np.log(2), rel=1e-6)
    # The student 0.75, 0.25 too: the entropy of the teacher.
    student = 0.1 * np.log([[3.0, 1.0]])
    out = centred_cross_entropy(teacher, student, np.zeros(2), **temperatures)
    entropy = -(0.75 * np.log(0.75) + 0.25 * np.log(0.25))
    assert float(out[0]) == pytest.approx(entropy, rel=1e-6)
    # A centre equal to the teacher leaves nothing: uniform targets.
    out = centred_cross_entropy(teacher, student, teacher[0], **temperatures)
    uniform = -0.5 * (np.log(0.75) + np.log(0.25))
    assert float(out[0]) == pytest.approx(uniform, rel=1e-6)


@pytest.mark.parametrize("shape", [(16,), (3, 16), (2, 5, 16)])
def test_cross_entropy_equals_plain_numpy(shape):
    teacher, student = normal(*shape), normal(*shape, seed=1)
    center = normal(16, seed=2, scale=0.1)
    out = centred_cross_entropy(
        teacher, student, center, teacher_temperature=0.04, student_temperature=0.1
    )
    expected = plain_cross_entropy(teacher, student, center, 0.04, 0.1)
    assert tuple(out.shape) == shape[:-1]
    np.testing.assert_allclose(ops.convert_to_numpy(out), expected, rtol=2e-5)


def test_cross_entropy_is_finite_for_large_logits():
    teacher, student = normal(4, 8, scale=1e3), normal(4, 8, seed=1, scale=1e3)
    out = centred_cross_entropy(
        teacher, student, np.zeros(8), teacher_temperature=0.04, student_temperature=0.1
    )
    expected = plain_cross_entropy(teacher, student, np.zeros(8), 0.04, 0.1)
    np.testing.assert_allclose(ops.convert_to_numpy(out), expected, rtol=1e-5)


def test_losses_are_float32_for_bfloat16_logits():
    """The values are those of the rounded logits, not of bfloat16 arithmetic."""
    teacher, student = (
        ops.cast(normal(3, 16, seed=seed), "bfloat16") for seed in (0, 1)
    )
    rounded = [ops.convert_to_numpy(ops.cast(x, "float32")) for x in (teacher, student)]
    out = centred_cross_entropy(
        teacher,
        student,
        np.zeros(16, "float32"),
        teacher_temperature=0.04,
        student_temperature=0.1,
    )
    assert out.dtype == "float32"
    expected = plain_cross_entropy(*rounded, np.zeros(16), 0.04, 0.1)
    np.testing.assert_allclose(ops.convert_to_numpy(out), expected, rtol=2e-5)
    loss = reconstruction_loss(teacher, student, ops.ones_like(teacher))
    assert loss.dtype == "float32"
    expected = np.abs(rounded[0] - rounded[1]).mean()
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)


def test_pseudo_labels_and_their_entropy_equal_plain_numpy():
    logits, center = normal(3, 5, 8, scale=0.1), normal(8, seed=1, scale=0.05)
    labels, entropy = map(ops.convert_to_numpy, pseudo_labels(logits, center, 0.04))
    logs = log_softmax((logits.astype("float64") - center) / 0.04)
    np.testing.assert_allclose(labels, np.exp(logs), rtol=1e-5)
    np.testing.assert_allclose(entropy, -(np.exp(logs) * logs).sum(-1), rtol=1e-5)
    assert entropy.min() > 0.1 and entropy.max() < np.log(8)


def test_mean_center_by_hand():
    center = np.array([1.0, -2.0], "float32")
    mean = np.array([2.0, 2.0], "float32")
    out = ops.convert_to_numpy(mean_center(center, mean))
    np.testing.assert_allclose(out, [0.9 + 0.2, -1.8 + 0.2], rtol=1e-6)
    out = ops.convert_to_numpy(mean_center(center, mean, momentum=0.5))
    np.testing.assert_allclose(out, [1.5, 0.0], atol=1e-6)


def test_center_of_a_constant_batch_converges_to_it():
    center = np.zeros(3, "float32")
    mean = np.array([0.5, -1.0, 2.0], "float32")
    for _ in range(100):
        center = mean_center(center, mean)
    expected = mean * (1 - 0.9**100)
    np.testing.assert_allclose(ops.convert_to_numpy(center), expected, rtol=1e-5)


def load(logits, center, temperature=0.04):
    """How often each class is named, in shares of what is even; float64."""
    logits = (np.asarray(logits, "float64") - center) / temperature
    named = np.exp(log_softmax(logits)).reshape(-1, logits.shape[-1])
    return named.mean(axis=0) * logits.shape[-1]


def balanced(center, logits, **options):
    """The balanced centre of a batch of logits `(..., K)`, as a pretrainer moves it."""
    labels, _ = pseudo_labels(logits, center, 0.04)
    use = ops.mean(labels, axis=tuple(range(len(labels.shape) - 1)))
    return ops.convert_to_numpy(balanced_center(center, use, 0.04, **options))


def test_balanced_center_by_hand():
    logits, center = normal(3, 5, 8, scale=0.1), normal(8, seed=1, scale=0.05)
    out = balanced(center, logits, momentum=0.7)
    expected = center + 0.3 * 0.04 * (load(logits, center) - 1)
    np.testing.assert_allclose(out, expected, atol=1e-7)


def test_correction_of_the_balanced_center_is_bounded_and_does_not_drift():
    logits = np.zeros((4, 32), "float32")
    logits[:, 3] = 1.0  # all name one class, 32 times as often as is even
    center = normal(32, scale=0.01)
    out = balanced(center, logits)
    step = np.full(32, -0.1 * 0.04 * 10 / 32)
    step[3] = 0.1 * 0.04 * 10 * 31 / 32
    np.testing.assert_allclose(out, center + step, atol=1e-7)
    assert out.mean() == pytest.approx(center.mean(), abs=1e-7)


def test_balanced_center_makes_a_teacher_use_every_class():
    """Three groups of clips in 16 classes: the paper's centre leaves most unused."""
    rng = np.random.default_rng(0)
    groups = rng.normal(size=(3, 16))[rng.integers(0, 3, 256)]
    logits = (0.3 * groups + 0.02 * rng.normal(size=(256, 16))).astype("float32")
    mean = even = np.zeros(16, "float32")
    for _ in range(500):
        mean = ops.convert_to_numpy(mean_center(mean, logits.mean(axis=0)))
        even = balanced(even, logits)
    assert np.sum(load(logits, mean) > 0.5) < 6
    np.testing.assert_allclose(load(logits, even), 1, atol=0.1)


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_class_crossentropy_of_numbers_and_of_distributions(shape):
    logits, classes = normal(4, 5), np.array([0, 3, 1, 4])
    distributions = np.eye(5, dtype="float32")[classes]
    expected = -log_softmax(logits)[np.arange(4), classes].mean()
    for targets in (classes.reshape(shape), distributions):
        loss = float(ClassCrossentropy()(targets, logits))
        assert loss == pytest.approx(expected, rel=1e-5)
    mixed = 0.3 * distributions + 0.7 * distributions[::-1]
    expected = -(mixed * log_softmax(logits)).sum(axis=-1).mean()
    assert float(ClassCrossentropy()(mixed, logits)) == pytest.approx(
        expected, rel=1e-5
    )


def test_class_accuracy_of_numbers_and_of_distributions():
    logits = np.array([[2.0, 1.0], [0.0, 1.0], [3.0, 1.0]], "float32")
    for targets in (
        np.array([0, 1, 1]),
        np.array([[0], [1], [1]]),
        np.array([[0.6, 0.4], [0.3, 0.7], [0.0, 1.0]]),
    ):
        right = ops.convert_to_numpy(
            class_accuracy(
                ops.convert_to_tensor(targets), ops.convert_to_tensor(logits)
            )
        )
        assert right.tolist() == [1, 1, 0]


def test_multi_label_accuracy_is_keras_own_but_for_mixed_targets():
    logits = normal(6, 5)
    targets = (logits[::-1] > 0).astype("float32")
    keras_own = keras.metrics.BinaryAccuracy(threshold=0.0)(targets, logits)
    ours = ops.convert_to_numpy(multi_label_accuracy(targets, logits))
    assert ours.shape == (6,)
    assert ours.mean() == pytest.approx(float(keras_own)) != 1.0
    mixed = np.array([[0.6, 0.4, 0.5]], "float32")
    logits = np.array([[1.0, 1.0, 1.0]], "float32")
    found = float(multi_label_accuracy(mixed, ops.convert_to_tensor(logits))[0])
    assert found == pytest.approx(2 / 3)


def test_label_smoothing_is_that_of_keras():
    logits = normal(5, 3)
    classes = np.array([0, 2, 1, 1, 0])
    one_hot = np.eye(3, dtype="float32")[classes]
    expected = keras.losses.CategoricalCrossentropy(
        from_logits=True, label_smoothing=0.1
    )(one_hot, logits)
    smoothed = ClassCrossentropy(label_smoothing=0.1)
    for targets in (classes, classes[:, None], one_hot):
        assert float(smoothed(targets, logits)) == pytest.approx(float(expected))
    revived = ClassCrossentropy.from_config(smoothed.get_config())
    assert revived.label_smoothing == 0.1
    with pytest.raises(ValueError, match=r"label_smoothing is in \[0, 1\)"):
        ClassCrossentropy(label_smoothing=1.0)
