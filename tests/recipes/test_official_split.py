"""What recipes with an official split share: parts, seeds, captions, errors."""

import importlib
import shutil
import types

import numpy as np
import pytest

from keras_asit import data, presets, training
from recipes import official_split
from recipes.cross_validation_command import TINY_MODEL
from recipes.models import NamedModel

RECIPES = {
    "speech_commands_v1": {"train": 34, "valid": 34, "test": 12},
    "speech_commands_v2": {"train": 35, "valid": 35, "test": 35},
    "audioset_20k": {"balanced": 10, "unbalanced": 12, "eval": 9},
    "audioset_2m": {"balanced": 10, "unbalanced": 12, "eval": 9},
}


def part(name, module):
    """A recipe's `config`, `prepare` or `train`."""
    return importlib.import_module(f"recipes.{name}.{module}")


@pytest.mark.parametrize("name", RECIPES)
def test_prepare_finds_the_official_split(name, manifest_of):
    config = part(name, "config")
    clips = data.read_manifest(manifest_of(name), labels=config.CLASSES)
    assert len(clips.class_names) == config.NUM_CLASSES
    splits, counts = np.unique(clips.columns["split"].astype(str), return_counts=True)
    found = dict(zip(splits.tolist(), counts.tolist()))
    if name == "speech_commands_v1":
        # A word a class; a tenth of them as _unknown_ and as _silence_, rounded up.
        expected = {"train": 10 + 1 + 1, "valid": 10 + 1 + 1, "test": 12}
    else:
        expected = RECIPES[name]
    assert found == expected


def test_prepare_says_in_one_line_what_is_missing(tmp_path, capsys):
    assert part("audioset_20k", "prepare").main(["--data", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "balanced_train_segments.csv" in line


def test_prepare_says_in_one_line_what_was_not_given(capsys):
    with pytest.raises(SystemExit) as end:
        part("audioset_20k", "prepare").main(["--dat", "x"])
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "required: --data" in line


@pytest.fixture
def runs(monkeypatch):
    """Seeds that were run; nothing is trained, and each scores 50 more than its seed.

    A thousandth is what `fine_tune` returns: shares of 1.
    """
    done = []

    def fine_tune(backbone, train, test, protocol, *, seed, folder, **_):
        done.append((seed, protocol))
        folder.mkdir(parents=True)
        targets = test.targets(multi_label=False)
        return types.SimpleNamespace(
            classifier=backbone,
            score=(50 + seed) / 100,
            scores=np.eye(len(test.class_names))[targets],
            targets=targets,
            indices=np.arange(len(test)),
            epoch=1,
            history={"loss": [1.0]},
        )

    monkeypatch.setattr(training, "fine_tune", fine_tune)
    return done


@pytest.fixture
def command(manifest_of, tiny_preset, tmp_path):
    words = f"--data {manifest_of('speech_commands_v2')} --out {tmp_path} --tiny "
    return (words + f"--backbone {tiny_preset} --seeds").split()


def test_seeds_are_run_once_and_summed_up(command, runs, tmp_path, capsys, written_by):
    train = part("speech_commands_v2", "train")
    assert train.main([*command, "0"]) == 0
    assert train.main([*command, "0", "2"]) == 0
    assert [seed for seed, _ in runs] == [0, 2]
    row = written_by(tmp_path)
    assert row["by_seed"] == {"0": 50.0, "2": 52.0}
    assert row["mean"] == 51.0
    assert row["deviation"] == pytest.approx(2**0.5)
    assert len(row["made_by"]["command"]) == 2
    assert "51.0 ± 1.4" in (tmp_path / "results.md").read_text()
    assert "accuracy 51.0 ± 1.4 %, seeds 0 2" in capsys.readouterr().out


def test_results_of_other_settings_are_not_mixed(command, runs, capsys):
    train = part("speech_commands_v2", "train")
    assert train.main([*command, "0"]) == 0
    capsys.readouterr()
    assert train.main([*command, "1", "--batch-size", "4"]) == 0  # --tiny's own counts
    assert train.main([*command, "2", "--protocol", "modern"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "protocol.name is 'ast' there, 'modern' here" in line
    assert len(runs) == 2


def test_results_of_other_clips_are_not_mixed(
    command, runs, manifest_of, tmp_path, capsys
):
    """As many clips of the same names, one with another label."""
    train = part("speech_commands_v2", "train")
    assert train.main([*command, "0"]) == 0
    rows = manifest_of("speech_commands_v2").read_text()
    relabelled = tmp_path / "relabelled.csv"
    relabelled.write_text(rows.replace(",backward,train,", ",bed,train,"))
    capsys.readouterr()
    assert train.main([*command, "1", "--data", str(relabelled)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "clips.train is '24 clips, " in line and "clips.test" not in line
    assert len(runs) == 1


def test_results_of_other_weights_are_not_mixed(
    command, runs, tiny_preset, tmp_path, capsys
):
    """A preset that was saved anew under its name."""
    preset = shutil.copytree(tiny_preset, tmp_path / "preset")
    command = [*command[:-1], "--backbone", str(preset), "--seeds"]
    train = part("speech_commands_v2", "train")
    assert train.main([*command, "0"]) == 0
    with training.seeded(1):
        backbone = TINY_MODEL.backbone(TINY_MODEL.frontend(-8.0, 4.0))
    presets.save(backbone, preset, trained_on="nothing, for a test")
    capsys.readouterr()
    assert train.main([*command, "1"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "other settings: weights is " in line
    assert len(runs) == 1


@pytest.mark.parametrize(
    ("choice", "constants"),
    [("protocol", (-6.845978, 5.5654526)), ("backbone", (None, None))],
)
def test_normalisation_is_chosen(command, runs, choice, constants):
    train = part("speech_commands_v2", "train")
    assert train.main([*command, "0", "--normalisation", choice]) == 0
    [(_, protocol)] = runs
    assert (protocol.mean, protocol.std) == constants


def test_normalisation_can_be_measured(command, runs, tmp_path, written_by):
    train = part("speech_commands_v2", "train")
    assert train.main([*command, "0", "--normalisation", "measured"]) == 0
    [(_, protocol)] = runs
    assert -20 < protocol.mean < 0 < protocol.std
    assert "measured on the training clips" in written_by(tmp_path)["result"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("--scratch tiny --protocol best", "best"),
        ("", "--backbone --scratch"),
        ("--scratch tiny --backbone x", "not allowed"),
        ("--scratch tiny --seeds -1", "whole number of 0"),
    ],
)
def test_wrong_arguments_are_said_in_one_line(wrong, said, capsys):
    with pytest.raises(SystemExit) as end:
        part("speech_commands_v1", "train").main(
            ["--data", "x", "--out", "y", *wrong.split()]
        )
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_missing_preset_split_and_labels_are_said_in_one_line(
    manifest_of, tmp_path, capsys
):
    def refused(name, clips, *words):
        words = ["--data", str(clips), "--out", str(tmp_path / "out"), *words]
        assert part(name, "train").main(words) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    v2, audioset = manifest_of("speech_commands_v2"), manifest_of("audioset_20k")
    capsys.readouterr()
    scratch = ["--scratch", "tiny"]
    assert "Unknown preset" in refused("speech_commands_v2", v2, "--backbone", "nope")
    line = refused("audioset_20k", audioset, *scratch, "--labels", "enhanced")
    assert "--train-json" in line
    assert "12 classes" in refused("speech_commands_v1", v2, *scratch)

    rows = v2.read_text().splitlines()
    without = tmp_path / "without.csv"
    without.write_text("\n".join(r for r in rows if ",valid," not in r))
    words = [*scratch, "--allow-outside"]
    assert "split valid" in refused("speech_commands_v2", without, *words)
    without.write_text("path,label\na.wav,yes\n")
    assert "column 'split'" in refused("speech_commands_v2", without, *words)
    assert not (tmp_path / "out").exists()


def test_random_weights_are_of_the_clips_rate_and_frames():
    study = official_split.Study(
        "task",
        training.Protocol(num_frames=128),
        scratch=NamedModel("asit_tiny", 1.0, 128),
        sample_rate=16000,
    )
    backbone = official_split.start(study, seed=0)
    assert backbone.num_frames == 128 and backbone.hidden_dim == 192
    assert backbone.frontend.sample_rate == 16000


AST = {  # Section 7 of the specification, by hand
    "audioset_20k": (5e-5, 25, 12, (10, 5, 0.5), 1000, (48, 192), 0.5, 1024, (6, 25)),
    "audioset_2m": (1e-5, 5, 12, (2, 1, 0.5), 1000, (48, 192), 0.5, 1024, (1, 5)),
    "speech_commands_v2": (
        *(2.5e-4, 30, 128, (5, 1, 0.85), 0, (48, 48), 0.6, 128, None),
    ),
}


AUDIOSET = (-4.2677393, 4.5689974, 10.0)
CONSTANTS = {  # Section 1 of the specification, by hand, and the length of a clip
    "audioset_20k": AUDIOSET,
    "audioset_2m": AUDIOSET,
    "speech_commands_v2": (-6.845978, 5.5654526, 1.0),
}


@pytest.mark.backend_free
@pytest.mark.parametrize("name", AST)
def test_protocol_is_that_of_ast(name):
    protocol = part(name, "config").PROTOCOLS["ast"]
    assert AST[name] == (
        protocol.learning_rate,
        protocol.epochs,
        protocol.batch_size,
        (protocol.decay_after, protocol.decay_every, protocol.decay_factor),
        protocol.warmup_steps,
        (protocol.frequency_mask, protocol.time_mask),
        protocol.mixup,
        protocol.num_frames,
        protocol.average_epochs,
    )
    assert CONSTANTS[name] == (protocol.mean, protocol.std, protocol.seconds)
    # What AST masks is zero before it is normalised, and no gradient is clipped.
    assert protocol.mask_fill == "zero_before_normalisation"
    assert protocol.clip_norm is None
    assert protocol.schedule == "step"
    assert protocol.betas == (0.95, 0.999)
    assert (protocol.l2, protocol.weight_decay) == (5e-7, 0.0)
    assert protocol.loss == "binary_cross_entropy"
    assert protocol.balanced == (name == "audioset_2m")
    has_noise = name == "speech_commands_v2"
    assert (protocol.noise, protocol.roll_frames) == (0.1, 10) if has_noise else (0, 0)


@pytest.mark.backend_free
def test_epochs_that_are_asked_for_shorten_the_averaging():
    from recipes.official_split_command import lasting

    protocol = part("audioset_20k", "config").PROTOCOLS["ast"]
    assert lasting(protocol, 10).average_epochs == (6, 10)
    assert lasting(protocol, 3).average_epochs == (3, 3)
    assert lasting(protocol, 50).average_epochs == (6, 25)
