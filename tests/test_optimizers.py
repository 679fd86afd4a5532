import keras
import numpy as np
import pytest
from keras import ops

from keras_asit.layer_rates import layer_scales
from keras_asit.models import ASiTClassifier
from keras_asit.optimizers import ScheduledAdamW, pretraining_optimizer
from keras_asit.schedules import WarmupCosine
from tiny_asit import tiny_backbone

X = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
Y = np.random.default_rng(1).normal(size=(8, 2)).astype("float32")
KERNEL = np.random.default_rng(2).normal(size=(3, 2)).astype("float32")
BIAS = np.array([0.5, -1.5], "float32")


def fitted(optimizer, steps):
    """Weights of a dense layer after `steps` compiled steps, of the mean square."""
    dense = keras.layers.Dense(2)
    model = keras.Sequential([keras.Input((3,)), dense])
    dense.set_weights([KERNEL, BIAS])
    model.compile(optimizer=optimizer, loss="mse")
    data = np.tile(X, (steps, 1)), np.tile(Y, (steps, 1))
    model.fit(*data, batch_size=len(X), shuffle=False, verbose=0)
    return dense.get_weights()


def adamw(steps, rate, decay, clip=None, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
    """The same in plain numpy, float64; `rate` and `decay` are functions of a step."""
    weights = [KERNEL.astype("float64"), BIAS.astype("float64")]
    first, second = ([np.zeros_like(w) for w in weights] for _ in range(2))
    for step in range(steps):
        error = X @ weights[0] + weights[1] - Y
        gradients = [2 * X.T @ error / error.size, 2 * error.sum(0) / error.size]
        if clip:
            gradients = clip(gradients)
        decays = [decay(step), 0.0]  # the bias is not decayed
        for i, gradient in enumerate(gradients):
            first[i] = beta_1 * first[i] + (1 - beta_1) * gradient
            second[i] = beta_2 * second[i] + (1 - beta_2) * gradient**2
            mean = first[i] / (1 - beta_1 ** (step + 1))
            correction = np.sqrt(1 - beta_2 ** (step + 1))
            weights[i] = weights[i] * (1 - rate(step) * decays[i])
            # Keras adds epsilon to the root before it corrects the root's bias.
            root = (np.sqrt(second[i]) + epsilon) / correction
            weights[i] -= rate(step) * mean / root
    return weights


def assert_same(weights, expected):
    for ours, theirs in zip(weights, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("steps", [1, 7])
def test_steps_equal_plain_adamw(steps):
    expected = adamw(steps, rate=lambda step: 0.01, decay=lambda step: 0.3)
    assert_same(fitted(ScheduledAdamW(0.01, weight_decay=0.3), steps), expected)


def test_decay_and_rate_change_with_each_compiled_step():
    steps = 9
    schedules = {
        "learning_rate": WarmupCosine(0.02, 1e-3, steps, warmup_steps=3),
        "weight_decay": WarmupCosine(0.1, 4.0, steps),
    }
    rate, decay = ([float(s(i)) for i in range(steps)] for s in schedules.values())
    assert len(set(decay)) == steps
    weights = fitted(ScheduledAdamW(**schedules), steps)
    assert_same(weights, adamw(steps, rate.__getitem__, decay.__getitem__))
    constant = adamw(steps, rate.__getitem__, lambda step: decay[0])
    assert np.abs(weights[0] - constant[0]).max() > 0.01


def by_global_norm(gradients, largest=0.5):
    norm = np.sqrt(sum(np.sum(g**2) for g in gradients))
    assert norm > largest
    return [g * largest / norm for g in gradients]


def each_by_its_norm(gradients, largest=0.5):
    norms = [np.linalg.norm(g) for g in gradients]
    return [g * min(1, largest / norm) for g, norm in zip(gradients, norms)]


@pytest.mark.parametrize(
    "argument, clip",
    [("global_clipnorm", by_global_norm), ("clipnorm", each_by_its_norm)],
)
def test_clipping(argument, clip):
    # A large epsilon, because Adam hides a factor of the gradient otherwise.
    options = {"epsilon": 0.1, "beta_2": 0.9}
    optimizer = ScheduledAdamW(0.01, weight_decay=0.3, **{argument: 0.5}, **options)
    constants = {"rate": lambda step: 0.01, "decay": lambda step: 0.3}
    assert_same(fitted(optimizer, 4), adamw(4, **constants, clip=clip, **options))


def test_only_weights_of_two_dimensions_and_more_are_decayed():
    """Zero gradients: what moves is what is decayed, class token included."""
    shapes = {"bias": (4,), "kernel": (4, 4), "class_token": (1, 1, 4)}
    variables = [
        keras.Variable(np.ones(shape, "float32"), name=name)
        for name, shape in shapes.items()
    ]
    optimizer = ScheduledAdamW(0.1, weight_decay=0.5)
    optimizer.build(variables)
    optimizer.apply([ops.zeros(shape) for shape in shapes.values()])
    values = [float(ops.mean(variable)) for variable in variables]
    assert values == pytest.approx([1.0, 0.95, 0.95])


def test_variables_can_be_excluded():
    variables = [keras.Variable(np.ones((2, 2)), name=name) for name in ("a", "b")]
    optimizer = ScheduledAdamW(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_names=["b"])
    optimizer.build(variables)
    optimizer.apply([ops.zeros((2, 2))] * 2)
    values = [float(ops.mean(variable)) for variable in variables]
    assert values == pytest.approx([0.95, 1.0])


@pytest.mark.parametrize("weight_decay", [0.3, WarmupCosine(0.04, 0.4, steps=10)])
def test_config_round_trip(weight_decay):
    optimizer = ScheduledAdamW(
        WarmupCosine(1e-3, 1e-6, steps=10, warmup_steps=2),
        weight_decay=weight_decay,
        beta_2=0.95,
        global_clipnorm=3.0,
    )
    config = keras.saving.serialize_keras_object(optimizer)
    revived = keras.saving.deserialize_keras_object(config)
    assert isinstance(revived, ScheduledAdamW)
    assert revived.get_config() == optimizer.get_config()
    assert float(revived.weight_decay_now()) == float(optimizer.weight_decay_now())
    assert (revived.beta_2, revived.global_clipnorm) == (0.95, 3.0)


def test_pretraining_optimizer_of_the_paper():
    """Batch 64 on 4 devices, 40 epochs of 100 steps, 10 of them warm-up."""
    optimizer = pretraining_optimizer(batch_size=256, epochs=40, steps_per_epoch=100)
    config = optimizer.get_config()
    expected = {"start": 5e-4, "end": 1e-6, "steps": 4000, "warmup_steps": 1000}
    assert config["learning_rate"]["config"] == expected
    expected = {"start": 0.04, "end": 0.4, "steps": 4000, "warmup_steps": 0}
    assert config["weight_decay"]["config"] == expected
    assert (config["beta_1"], config["beta_2"]) == (0.9, 0.999)
    assert (config["global_clipnorm"], config["clipnorm"]) == (3.0, None)
    assert float(optimizer.learning_rate) == 0.0
    assert float(optimizer.weight_decay_now()) == pytest.approx(0.04)
    optimizer.iterations.assign(4000)
    assert float(optimizer.learning_rate) == pytest.approx(1e-6)
    assert float(optimizer.weight_decay_now()) == pytest.approx(0.4)


def test_pretraining_optimizer_scales_and_shortens():
    """The rate follows the batch; the warm-up is at most a quarter of the run."""
    optimizer = pretraining_optimizer(batch_size=64, epochs=4, steps_per_epoch=10)
    rate = optimizer.get_config()["learning_rate"]["config"]
    assert rate["start"] == pytest.approx(5e-4 / 4)
    assert rate["warmup_steps"] == 10


@pytest.mark.parametrize(
    "clip, norms",
    [("global", (3.0, None)), ("variable", (None, 3.0)), (None, (None,) * 2)],
)
def test_clip_of_the_pretraining_optimizer(clip, norms):
    run = {"batch_size": 8, "epochs": 1, "steps_per_epoch": 4}
    optimizer = pretraining_optimizer(**run, clip=clip)
    assert (optimizer.global_clipnorm, optimizer.clipnorm) == norms


def test_profile_of_the_pretraining_optimizer():
    """Row 17; what is given wins over the profile."""
    run = {"batch_size": 256, "epochs": 4, "steps_per_epoch": 4, "profile": "reference"}
    optimizer = pretraining_optimizer(**run)
    assert (optimizer.global_clipnorm, optimizer.clipnorm) == (None, 3.0)
    optimizer = pretraining_optimizer(**run, clip=None, weight_decay=0.0)
    assert (optimizer.global_clipnorm, optimizer.clipnorm) == (None, None)
    decay = optimizer.get_config()["weight_decay"]["config"]
    assert (decay["start"], decay["end"]) == (0.0, 0.4)
    optimizer = pretraining_optimizer(**run, clip="global", clip_norm=1.0)
    assert (optimizer.global_clipnorm, optimizer.clipnorm) == (1.0, None)


def test_unknown_profile():
    with pytest.raises(ValueError, match=r"\['paper', 'reference'\]; received 'mine'"):
        pretraining_optimizer(batch_size=8, epochs=1, steps_per_epoch=4, profile="mine")


def test_weight_decay_is_not_none():
    with pytest.raises(ValueError, match=r"received None\. Give 0"):
        ScheduledAdamW(1e-3, weight_decay=None)


def test_unknown_clip():
    with pytest.raises(ValueError, match=r"'global', 'variable' or None.*'norm'"):
        pretraining_optimizer(batch_size=8, epochs=1, steps_per_epoch=4, clip="norm")


PATHS = [
    "patch_embedding/projection/kernel",
    "block_0/expand/kernel",
    "block_1/expand/kernel",
    "norm/gamma",
    "head/kernel",
]


def test_layer_scales_by_hand():
    """Two blocks: the head 1, the last block 0.5, the first 0.25, patches 0.125."""
    assert layer_scales(PATHS, 0.5) == [0.125, 0.25, 0.5, 1.0, 1.0]
    assert layer_scales(PATHS, 1.0) == [1.0] * 5
    assert layer_scales(["dense/kernel", "bias"], 0.5) == [1.0, 1.0]


def test_layer_scales_of_a_classifier():
    """Two blocks; class token and positions are of the first layer."""
    model = ASiTClassifier(tiny_backbone(num_layers=2), 3)
    paths = [variable.path for variable in model.trainable_variables]
    scales = dict(zip(paths, layer_scales(paths, 0.5), strict=True))
    by_layer = {
        "patch_embedding": 0.125, "block_0": 0.25, "block_1": 0.5, "norm": 1.0,
        "head": 1.0,
    }  # fmt: skip
    for path, scale in scales.items():
        [layer] = [name for name in by_layer if name in path.split("/")]
        assert scale == by_layer[layer], path
    assert set(scales.values()) == {0.125, 0.25, 0.5, 1.0}


def classifier_steps(optimizer, names, steps=3):
    """Weights after some steps, of variables that lie where a classifier's do."""
    variables = [keras.Variable(np.full((2, 2), 1.0, "float32")) for _ in names]
    for variable, name in zip(variables, names, strict=True):
        variable._path = name
    optimizer.build(variables)
    for step in range(steps):
        gradients = [np.full((2, 2), 0.1 * (step + 1), "float32") for _ in names]
        optimizer.apply([keras.ops.convert_to_tensor(g) for g in gradients], variables)
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_layer_decay_is_a_smaller_rate(weight_decay):
    found = classifier_steps(
        ScheduledAdamW(0.01, weight_decay=weight_decay, layer_decay=0.5), PATHS
    )
    for weights, scale in zip(found, layer_scales(PATHS, 0.5), strict=True):
        plain = ScheduledAdamW(0.01 * scale, weight_decay=weight_decay)
        [expected] = classifier_steps(plain, ["head/kernel"])
        np.testing.assert_allclose(weights, expected, rtol=1e-6)


def test_l2_is_added_to_the_gradient():
    """As PyTorch's Adam has it: the penalty goes through the moments."""
    torch = pytest.importorskip("torch")
    start = np.linspace(-1, 1, 6).astype("float32").reshape(2, 3)
    theirs = torch.nn.Parameter(torch.tensor(start))
    adam = torch.optim.Adam([theirs], lr=0.01, betas=(0.95, 0.999), weight_decay=0.1)
    ours = keras.Variable(start)
    optimizer = ScheduledAdamW(
        0.01, weight_decay=0.0, beta_1=0.95, epsilon=1e-8, l2=0.1
    )
    optimizer.build([ours])
    for step in range(5):
        gradient = np.full((2, 3), 0.02 * (step - 2), "float32")
        theirs.grad = torch.tensor(gradient)
        adam.step()
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [ours])
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(ours), theirs.detach().numpy(), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("wrong", [{"layer_decay": 0}, {"layer_decay": 2}, {"l2": -1}])
def test_layer_decay_and_l2_out_of_range(wrong):
    with pytest.raises(ValueError, match=r"layer_decay is in \(0, 1\], l2 0 or more"):
        ScheduledAdamW(1e-3, **wrong)


def test_layer_decay_and_l2_are_saved():
    optimizer = ScheduledAdamW(1e-3, layer_decay=0.75, l2=1e-6)
    revived = ScheduledAdamW.from_config(optimizer.get_config())
    assert (revived.layer_decay, revived.l2) == (0.75, 1e-6)
