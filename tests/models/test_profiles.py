"""The 23 rows in which the paper's text and the authors' code differ, one by one.

Each row of the specification's table names the options it stands for, their value in
both profiles, and a check that a model built with them is what they say.
"""

import inspect

import keras
import numpy as np
import pytest
from keras import ops

from keras_asit import optimizers, presets
from keras_asit.callbacks import EMATeacher
from keras_asit.data import pretraining_dataset
from keras_asit.layers import GMMLCorruption
from keras_asit.models import ASiTBackbone, ASiTPretrainer, objective, profiles
from keras_asit.schedules import linear_over_epochs
from tiny_asit import (
    BINS,
    FRAMES,
    clean_views,
    shake,
    tiny_backbone,
    tiny_pretrainer,
    values,
)

PROFILES = ("paper", "reference")


@pytest.fixture(scope="module")
def models():
    """Both profiles as they are, on a small backbone; nothing is overridden."""
    return {
        profile: ASiTPretrainer(tiny_backbone(), profile=profile)
        for profile in PROFILES
    }


def defaults(function):
    """The default arguments of a function or class."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


# Row of the table: the option's name and its value in the paper and the reference.
PRETRAINER_ROWS = [
    (1, "reconstruction_weight", 1, 2),
    (1, "local_weight", 1, 1),
    (1, "global_weight", 1, 1),
    (2, "local_loss_on", "changed", "all"),
    (3, "changed_threshold", 0, 0),
    (4, "shared_projection", False, True),
    (4, "projection_hidden_dims", (2048, 2048), (2048, 2048)),
    (4, "projection_bottleneck_dim", 256, 256),
    (5, "reconstruction_hidden_dims", (2048, 2048), (768, 768)),
    (5, "reconstruction_bottleneck_dim", 256, 128),
    (5, "reconstruction_gelu_bottleneck", False, True),
    (7, "corruption_ratio", 0.7, (0.5, 0.7)),
    (8, "alien_ratio", 0.3, 0.3),
    (9, "alien_probability", 0.5, 0.5),
    (10, "alien_donor", "other", "any"),
    (12, "noise", "unit", "frontend"),
    (18, "freeze_output_steps", 0, 0),
    (19, "drop_path", 0.1, 0.1),
    (22, "corruption", True, True),
]
TRAINING_ROWS = [
    (13, "teacher_temperature", 0.04, 0.04),
    (13, "final_teacher_temperature", 0.07, 0.07),
    (13, "temperature_epochs", 30, 30),
    (14, "epochs", 40, 100),
    (15, "base_learning_rate", 5e-4, 5e-4),
    (15, "final_learning_rate", 1e-6, 1e-6),
    (15, "warmup_epochs", 10, 10),
    (16, "weight_decay", 0.04, 0.04),
    (16, "final_weight_decay", 0.4, 0.4),
    (17, "clip", "global", "variable"),
    (17, "clip_norm", 3.0, 3.0),
    (20, "shift_probability", 0.5, 0.5),
    (23, "batch_size", 64, 32),
]
# Rows with one value, or told apart elsewhere: tested below by number.
ELSEWHERE = {6, 11, 21}


def test_no_row_is_left_out():
    rows = {row for row, *_ in PRETRAINER_ROWS + TRAINING_ROWS}
    assert rows | ELSEWHERE == set(range(1, 24))


@pytest.mark.parametrize(("row", "name", "paper", "reference"), PRETRAINER_ROWS)
def test_pretrainer_row(models, row, name, paper, reference):
    expected = {"paper": paper, "reference": reference}
    for profile in PROFILES:
        assert profiles.PRETRAINER[profile][name] == expected[profile]
        assert models[profile].options[name] == expected[profile]


@pytest.mark.parametrize(("row", "name", "paper", "reference"), TRAINING_ROWS)
def test_training_row(row, name, paper, reference):
    assert profiles.TRAINING["paper"][name] == paper
    assert profiles.TRAINING["reference"][name] == reference


def test_every_option_that_differs_has_its_row():
    for table, rows in (
        (profiles.PRETRAINER, PRETRAINER_ROWS),
        (profiles.TRAINING, TRAINING_ROWS),
    ):
        paper, reference = table["paper"], table["reference"]
        assert set(paper) == set(reference)
        differing = {name for name in paper if paper[name] != reference[name]}
        assert differing <= {name for _, name, *_ in rows}


def test_the_papers_profile_is_the_default():
    model = tiny_pretrainer()
    assert model.profile == "paper"
    assert defaults(ASiTPretrainer)["profile"] == "paper"


def test_an_option_given_wins_over_the_profile():
    model = tiny_pretrainer("reference", reconstruction_weight=0.5, align=16)
    assert model.options["reconstruction_weight"] == 0.5
    assert model.options["local_loss_on"] == "all"
    assert model.corruption.align == 16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"local_loss_on": "some"}, r"one of \['changed', 'all'\]; received 'some'"),
        ({"noise": "pink"}, r"noise is one of \['unit', 'frontend'\]"),
        ({"corruption_fill": "ones"}, r"corruption_fill is one of"),
        ({"alien_donor": "self"}, r"alien_donor is one of"),
        ({"centering": "sinkhorn"}, r"centering is one of \['mean', 'balanced'\]"),
        ({"corruption": "no"}, r"corruption is True or False; received 'no'"),
        ({"local_dim": 0}, r"local_dim is a whole number of 1 or more; received 0"),
        ({"global_dim": 2.5}, r"global_dim is a whole number .* received 2.5"),
        ({"projection_hidden_dims": 256}, r"projection_hidden_dims is a tuple of"),
        ({"reconstruction_hidden_dims": (8, 0)}, r"received \(8, 0\)"),
        ({"local_weight": -1.0}, r"local_weight is 0 or more .* received -1.0"),
        ({"global_weight": float("nan")}, r"global_weight is 0 or more"),
        ({"reconstruction_weight": "1"}, r"reconstruction_weight is .* received '1'"),
        ({"student_temperature": 0}, r"student_temperature is more than 0; received 0"),
        ({"resize_time": (1.2, 0.8)}, r"resize_time is \(low, high\) with 0 < low"),
        ({"filter_decibels": -3}, r"filter_decibels is 0 or more decibels; received"),
        ({"center_momentum": 1.1}, r"center_momentum is in \[0, 1\]; received 1.1"),
        ({"changed_threshold": 1.0}, r"changed_threshold is in \[0, 1\)"),
        ({"corruption_ratio": 1.5}, r"corruption_ratio is a share .* received 1.5"),
        ({"corruption_ratio": "a"}, r"corruption_ratio is a share .* received 'a'"),
        ({"alien_ratio": (0.4, 0.2)}, r"alien_ratio is a share .* \(0.4, 0.2\)"),
        ({"alien_probability": 2}, r"alien_probability is in \[0, 1\].* received 2"),
        ({"max_block": 0}, r"max_block is a share .* received 0"),
        ({"align": 0}, r"align is a whole number of pixels.* received 0"),
        ({"drop_path": 1.0}, r"drop_path is a share of the samples .* received 1.0"),
        ({"freeze_output_steps": -1}, r"freeze_output_steps is 0 or more steps"),
        (
            dict.fromkeys(
                ("reconstruction_weight", "local_weight", "global_weight"), 0
            ),
            "nothing to learn from",
        ),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        profiles.resolve("paper", options)


def test_a_row_of_something_else_is_refused_and_told_its_place():
    owners = {
        "ASiTBackbone": ASiTBackbone,
        "ASiTPretrainer.fit": keras.Model.fit,
        "EMATeacher": EMATeacher,
        "pretraining_optimizer": optimizers.pretraining_optimizer,
        "pretraining_dataset": pretraining_dataset,
    }
    assert set(profiles.OWNERS) == {"num_heads", *profiles.TRAINING["paper"]}
    for name, owner in profiles.OWNERS.items():
        assert name in inspect.signature(owners[owner]).parameters
        message = rf"{name} belongs to {owner}\(\.\.\.\); .* {name}=1\. Give it there"
        with pytest.raises(ValueError, match=message):
            tiny_pretrainer(**{name: 1})


# --- The rows as the built model honours them -------------------------------------


def test_row_1_weights_make_the_sum(models):
    parts = {"reconstruction": 3.0, "local": 5.0, "global": 7.0}
    parts = {name: ops.convert_to_tensor(value) for name, value in parts.items()}
    for profile, total in (("paper", 15.0), ("reference", 18.0)):
        loss = models[profile].compute_loss(y_pred=parts)
        assert float(ops.convert_to_numpy(loss)) == total


def test_row_2_and_3_changed_tokens():
    mask = np.zeros((2, FRAMES, BINS), "float32")
    mask[0, 17, 3] = 1.0  # one pixel of patch 2
    mask[1, :16, 16:] = 1.0  # the whole of patch 1
    mask[1, 32:40, :16] = 1.0  # half of patch 4

    def chosen(*arguments, **options):
        model = tiny_pretrainer(*arguments, **options)
        weights = ops.convert_to_numpy(objective.local_weights(model, mask))
        return [np.flatnonzero(row).tolist() for row in weights]

    everything = list(range(6))
    assert chosen("paper") == [[2], [1, 4]]
    assert chosen("reference") == [everything, everything]
    assert chosen("paper", changed_threshold=0.5) == [[], [1]]


def test_row_4_heads(models):
    for profile, shared in (("paper", False), ("reference", True)):
        for heads in (models[profile].student_heads, models[profile].teacher_heads):
            assert (heads["local"].mlp is heads["global"].mlp) == shared
            assert heads["local"].output_dim == 1024
            assert heads["global"].output_dim == 8192
            for head in heads.values():
                widths = [layer.units for layer in head.mlp.stack]
                assert widths == [2048, 2048, 256]


def test_row_5_reconstruction_head(models):
    for profile, widths, gelu in (
        ("paper", [2048, 2048, 256], False),
        ("reference", [768, 768, 128], True),
    ):
        mlp = models[profile].reconstruction_head.mlp
        assert [layer.units for layer in mlp.stack] == widths
        assert mlp.gelu_bottleneck == gelu
    # The GELU after the last layer: never far below zero.
    tokens = np.random.default_rng(0).normal(size=(4, 6, 32)).astype("float32") * 50
    reference = ops.convert_to_numpy(
        models["reference"].reconstruction_head.mlp(tokens)
    )
    paper = ops.convert_to_numpy(models["paper"].reconstruction_head.mlp(tokens))
    assert reference.min() > -0.2 > paper.min()


def test_row_6_heads_of_the_presets():
    """6 / 12 in both profiles; the 3 / 6 of the text are an option of the backbone."""
    for name, heads in (("asit_tiny", 3), ("asit_small", 6), ("asit_base", 12)):
        assert presets.describe(name)["num_heads"] == heads
    assert defaults(ASiTBackbone)["num_heads"] == 12


@pytest.mark.parametrize(("width", "of_text"), [(384, 3), (768, 6)])
@pytest.mark.large_on_jax
def test_row_6_heads_of_the_text(width, of_text):
    """At the widths of small and base: attention is another than with twice as many."""
    x = np.random.default_rng(0).normal(size=(2, 32, 32)).astype("float32")
    outputs = []
    for heads in (of_text, 2 * of_text):
        keras.utils.set_random_seed(0)  # the same weights for both
        backbone = ASiTBackbone(
            (32, 32), hidden_dim=width, num_layers=1, num_heads=heads, mlp_dim=32
        )
        assert backbone.blocks[0].attention.num_heads == heads
        shake(backbone.weights)
        outputs.append(ops.convert_to_numpy(backbone(x)))
    assert np.abs(outputs[0] - outputs[1]).max() > 0.01


def test_rows_7_to_10_corruption(models):
    for profile, ratio, donor in (
        ("paper", 0.7, "other"),
        ("reference", (0.5, 0.7), "any"),
    ):
        corruption = models[profile].corruption
        assert corruption.ratio == ratio
        assert corruption.alien_ratio == 0.3
        assert corruption.alien_probability == 0.5
        assert corruption.alien_donor == donor
        assert corruption.fill == "zeros"
        assert (corruption.max_block, corruption.align) == (0.3, 1)


def test_row_11_alien_replaces_blocks_of_the_clean_view():
    model = tiny_pretrainer(alien_probability=1.0, alien_ratio=0.3)
    clean = clean_views(2)
    corrupted, mask = (ops.convert_to_numpy(x) for x in model.corrupt(clean))
    # Two clips: the donor is the other one, at the same place and view.
    expected = np.where(mask == 1, clean[::-1], clean)
    np.testing.assert_array_equal(corrupted, expected)
    assert 0.2 < mask.mean() < 0.5


def test_row_12_noise(models):
    frontend = models["paper"].student.frontend
    expected = {"paper": (0.0, 1.0), "reference": (frontend.mean, frontend.std)}
    for profile, mean_and_std in expected.items():
        corruption = models[profile].corruption
        assert (corruption.noise_mean, corruption.noise_std) == mean_and_std
    noisy = tiny_pretrainer("reference", corruption_fill="noise", alien_probability=0.0)
    corrupted, mask = (
        ops.convert_to_numpy(x) for x in noisy.corrupt(np.zeros_like(clean_views(2)))
    )
    changed = corrupted[mask == 1]
    np.testing.assert_allclose(changed.mean(), frontend.mean, atol=0.3)
    np.testing.assert_allclose(changed.std(), frontend.std, atol=0.3)


@pytest.mark.parametrize("profile", PROFILES)
def test_defaults_are_those_of_the_profiles(profile):
    """Every row of TRAINING is a default, but for `epochs` and `batch_size`."""
    training = profiles.TRAINING[profile]
    taken = set(optimizers.PROFILES[profile]) | {"epochs", "batch_size"}
    assert optimizers.PROFILES[profile].items() <= training.items()
    for function in (EMATeacher, pretraining_dataset):
        found = defaults(function)
        shared = set(found) & set(training)
        assert {k: found[k] for k in shared} == {k: training[k] for k in shared}
        taken |= shared
    assert taken == set(training)


def test_row_13_temperature():
    # Clipped to a run of 10 epochs, where the authors' code crashes.
    line = [linear_over_epochs(epoch, 0.04, 0.07, 30, 10) for epoch in range(10)]
    np.testing.assert_allclose(line, np.linspace(0.04, 0.07, 10))
    line = [linear_over_epochs(epoch, 0.04, 0.07, 30, 40) for epoch in range(40)]
    np.testing.assert_allclose(line[:30], np.linspace(0.04, 0.07, 30))
    assert set(line[30:]) == {0.07}


def test_rows_14_to_17_optimizer():
    for profile, clip in (("paper", "global_clipnorm"), ("reference", "clipnorm")):
        training = profiles.TRAINING[profile]
        optimizer = optimizers.pretraining_optimizer(
            batch_size=512,
            epochs=training["epochs"],
            steps_per_epoch=10,
            profile=profile,
        )
        assert getattr(optimizer, clip) == training["clip_norm"] == 3.0
        other = {"global_clipnorm", "clipnorm"} - {clip}
        assert getattr(optimizer, other.pop()) is None
        assert (optimizer.beta_1, optimizer.beta_2) == (0.9, 0.999)
        steps, rate = training["epochs"] * 10, optimizer.learning_rate
        schedule = optimizer.get_config()["learning_rate"]["config"]
        assert schedule["warmup_steps"] == 100
        assert schedule["steps"] == steps
        np.testing.assert_allclose(schedule["start"], 5e-4 * 512 / 256)
        np.testing.assert_allclose(schedule["end"], 1e-6)
        assert float(ops.convert_to_numpy(rate)) == 0.0
        for step, decay in ((0, 0.04), (steps // 2, 0.22), (steps, 0.4)):
            optimizer.iterations.assign(step)
            now = float(ops.convert_to_numpy(optimizer.weight_decay_now()))
            np.testing.assert_allclose(now, decay, rtol=1e-5)


def test_row_16_what_is_decayed():
    model = tiny_pretrainer()
    shake(model.trainable_variables)  # so that biases are not zero
    optimizer = optimizers.ScheduledAdamW(0.5, weight_decay=0.4)
    optimizer.build(model.trainable_variables)
    before = values(model.trainable_variables)
    optimizer._apply_weight_decay(model.trainable_variables)
    still = {"gamma", "beta", "bias"}
    decayed = {"kernel", "class_token", "position_embedding", "prototypes"}
    assert {v.name for v in model.trainable_variables} == still | decayed
    for variable, value in zip(model.trainable_variables, before, strict=True):
        assert (len(variable.shape) == 1) == (variable.name in still)
        factor = 1.0 if variable.name in still else 0.8
        np.testing.assert_allclose(np.array(variable), factor * value, rtol=1e-6)


def test_row_17_clipping_of_the_default_optimizer(models):
    for profile, norms in (("paper", (3.0, None)), ("reference", (None, 3.0))):
        models[profile].compile()
        optimizer = models[profile].optimizer
        assert (optimizer.global_clipnorm, optimizer.clipnorm) == norms


def test_row_18_freezing_is_an_option():
    model = tiny_pretrainer(freeze_output_steps=5)
    assert model.options["freeze_output_steps"] == 5  # test_pretrainer: it works


@pytest.mark.large_on_jax
def test_row_19_stochastic_depth():
    for profile in PROFILES:
        backbone = tiny_backbone(num_layers=3)
        model = ASiTPretrainer(backbone, profile=profile)
        assert model.student.drop_path == 0.1
        student = [block.drop_path for block in model.student.blocks]
        np.testing.assert_allclose(student, [0.0, 0.05, 0.1])
        assert [block.drop_path for block in model.teacher.blocks] == [0, 0, 0]


def test_rows_20_and_21_views_of_the_data():
    arguments = defaults(pretraining_dataset)
    assert arguments["shift_probability"] == 0.5
    # A view is a crop: no option resizes it.
    assert arguments["crop_seconds"] == 6.0
    assert not any("resize" in name for name in arguments)


def test_row_22_no_corruption_counts_every_pixel():
    model = tiny_pretrainer(corruption=False)
    clean = clean_views(2)
    corrupted, mask = (ops.convert_to_numpy(x) for x in model.corrupt(clean))
    np.testing.assert_array_equal(corrupted, clean)
    np.testing.assert_array_equal(mask, np.ones_like(clean))


def test_the_profiles_round_trip():
    for profile in PROFILES:
        model = tiny_pretrainer(profile, alien_ratio=(0.2, 0.4))
        config = keras.saving.serialize_keras_object(model)
        again = keras.saving.deserialize_keras_object(config)
        assert again.profile == profile
        assert again.options == model.options
        assert again.corruption.get_config() == model.corruption.get_config()


def test_a_corruption_layer_round_trips():
    layer = GMMLCorruption(0.2, shape="time", seed=5)
    model = tiny_pretrainer(corruption_layer=layer)
    again = ASiTPretrainer.from_config(model.get_config())
    assert again.corruption.get_config() == layer.get_config()
    # One that the options describe follows the options.
    assert tiny_pretrainer().get_config()["corruption_layer"] is None
