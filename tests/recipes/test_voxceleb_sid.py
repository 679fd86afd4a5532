"""`recipes.voxceleb_sid` runs for a moment, and keeps its protocols apart."""

import json
import types

import keras
import numpy as np
import pytest
import soundfile
from keras import ops

from keras_asit import data, presets, training
from keras_asit.models import ASiTClassifier
from keras_asit.models.superb import SuperbClassifier
from recipes.cross_validation_command import TINY_MODEL
from recipes.voxceleb_sid import config, prepare, train

RATE = 8000
SPEAKERS = [f"id{10001 + number}" for number in range(config.NUM_CLASSES)]
HEARD = 8  # speakers with clips of validation and test as well


def write_clip(path, number):
    """A tone whose pitch tells the speaker, in noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(RATE // 10) / RATE
    noise = np.random.default_rng(number).normal(size=time.size)
    pitch = 200 + 37 * (number % 50)
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * pitch * time) + 0.02 * noise, RATE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All speakers, a clip of 0.1 s each; three of some: as both archives unpack."""
    root = tmp_path_factory.mktemp("voxceleb1")
    lines = []
    for number, speaker in enumerate(SPEAKERS):
        for split in (1, 2, 3) if number < HEARD else (1,):
            clip = f"{speaker}/1zcIwhmdeo4/0000{split}.wav"
            write_clip(root / "wav" / clip, number)
            lines.append(f"{split} {clip}")
    (root / "iden_split.txt").write_text("\n".join([*lines, ""]))
    return root


@pytest.fixture(scope="module")
def manifest(folder):
    assert prepare.main(["--data", str(folder)]) == 0
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def preset(tmp_path_factory):
    """A backbone of `--tiny`'s size."""
    path = tmp_path_factory.mktemp("presets") / "tiny"
    with training.seeded(0):
        backbone = TINY_MODEL.backbone(TINY_MODEL.frontend(-8.0, 4.0))
    presets.save(backbone, path, trained_on="nothing, for a test")
    return path


@pytest.fixture
def command(manifest, preset, tmp_path):
    """A function of a protocol, seeds and more words: the arguments of a tiny run."""

    def words(protocol, seeds="0", more=""):
        text = f"--data {manifest} --out {tmp_path} --backbone {preset} --tiny "
        return f"{text} --protocol {protocol} --seeds {seeds} {more}".split()

    return words


def written(tmp_path, protocol):
    folder = tmp_path / protocol
    text = (folder / "results.json").read_text()
    return json.loads(text), (folder / "results.md").read_text()


def test_prepare_finds_the_official_split(manifest):
    clips = data.read_manifest(manifest)
    assert clips.class_names == SPEAKERS
    counts = {split: len(clips.where(split=split)) for split in ("train", "valid")}
    assert counts == {"train": 1251, "valid": HEARD}
    assert len(clips.where(split="test")) == HEARD


def test_prepare_says_in_one_line_what_is_missing(tmp_path, capsys):
    assert prepare.main(["--data", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "expected iden_split.txt" in line


@pytest.mark.parametrize(
    "protocol",
    ["superb_frozen", pytest.param("full", marks=pytest.mark.large_on_jax)],
)
def test_protocol_trains(command, preset, tmp_path, protocol):
    assert train.main(command(protocol)) == 0
    row, table = written(tmp_path, protocol)
    assert row["protocol"] == protocol
    assert 0 <= row["mean"] <= 100
    assert row["scored_clips"] == {"0": HEARD}
    for text in (
        f"protocol {protocol}",
        "best epoch on the validation clips",
        "nothing, for a test",
    ):
        assert text in row["result"] and text in table
    record = json.loads((tmp_path / protocol / "seed-0" / "result.json").read_text())
    assert list(record["scores_of_epochs"]) == ["1"]
    saved = tmp_path / protocol / "seed-0" / "classifier"
    if protocol == "full":
        saved = presets.load(saved, load_weights=True)
        assert "layer_shares" not in record
        assert type(saved) is ASiTClassifier
        assert (
            "fine-tuned on VoxCeleb1"
            in presets.describe(tmp_path / protocol / "seed-0" / "classifier")[
                "trained_on"
            ]
        )
    else:
        saved = keras.models.load_model(f"{saved}.keras")
        np.testing.assert_allclose(
            saved.layer_shares, record["layer_shares"], atol=1e-4
        )
        _check_frozen(saved, preset)
        assert len(record["layer_shares"]) == TINY_MODEL.num_layers + 1
        assert sum(record["layer_shares"]) == pytest.approx(1, abs=1e-3)
    assert saved.class_names == SPEAKERS
    assert not (tmp_path / protocol / "seed-0" / "run").exists()
    assert [path.name for path in tmp_path.iterdir()] == [protocol], "of this alone"


def _check_frozen(classifier, preset):
    """The preset's backbone is in it as it was."""
    frozen, before = classifier.backbone.backbone, presets.load(preset, True)
    for ours, theirs in zip(frozen.weights, before.weights, strict=True):
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (ours, theirs)))


@pytest.fixture
def runs(monkeypatch):
    """What was fine-tuned; nothing is, and each seed scores 50 more than its number."""
    done = []

    def fine_tune(backbone, train, test, protocol, *, validation, folder, **options):
        maker = options["classifier"]
        done.append((options["seed"], protocol, maker))
        assert len(validation) == HEARD
        folder.mkdir(parents=True)
        (folder / "epochs.json").write_text('{"1": 0.5}')
        return types.SimpleNamespace(
            classifier=(maker or linear)(backbone, ["a", "b"]),
            score=(50 + options["seed"]) / 100,
            scores=np.eye(config.NUM_CLASSES)[test.targets()],
            targets=test.targets(),
            indices=np.arange(len(test)),
            epoch=1,
            history={"loss": [1.0]},
        )

    def linear(backbone, names):
        return ASiTClassifier(backbone, len(names), class_names=names)

    monkeypatch.setattr(training, "fine_tune", fine_tune)
    return done


def test_protocols_are_never_mixed(command, runs, tmp_path, capsys):
    """One folder takes both, each in files of its own; a seed is run once."""
    for protocol, seeds in (
        ("superb_frozen", "0"),
        ("full", "0 4"),
        ("superb_frozen", "0 2"),
    ):
        assert train.main(command(protocol, seeds)) == 0
    assert [(seed, p.name) for seed, p, _ in runs] == [
        (0, "superb_frozen"),
        (0, "full"),
        (4, "full"),
        (2, "superb_frozen"),
    ]
    frozen, frozen_table = written(tmp_path, "superb_frozen")
    full, full_table = written(tmp_path, "full")
    assert frozen["by_seed"] == {"0": 50.0, "2": 52.0}
    assert full["by_seed"] == {"0": 50.0, "4": 54.0}
    assert "51.0 ± 1.4" in frozen_table and "52.0 ± 2.8" in full_table
    assert "full" not in frozen_table and "superb" not in full_table
    assert "accuracy 51.0 ± 1.4 %, seeds 0 2" in capsys.readouterr().out


def test_each_protocol_has_its_classifier(command, runs, preset):
    for protocol in config.PROTOCOLS:
        assert train.main(command(protocol)) == 0
    (_, frozen, maker), (_, full, none) = runs
    assert frozen.freeze_backbone and not full.freeze_backbone
    assert none is None, "an ASiTClassifier"
    classifier = maker(presets.load(preset, load_weights=True), SPEAKERS)
    assert type(classifier) is SuperbClassifier
    assert isinstance(classifier, ASiTClassifier)
    assert classifier.backbone.projector.units == 256
    assert classifier.head.units == 1251


def test_other_settings_are_refused(command, runs, tmp_path, capsys):
    assert train.main(command("full")) == 0
    other = command("full", more="--normalisation measured")
    assert train.main(other) == 2
    assert "normalisation is 'protocol' there" in capsys.readouterr().err
    assert len(runs) == 1


def test_another_number_of_speakers_is_refused(manifest, command, tmp_path, capsys):
    rows = manifest.read_text().splitlines()
    short = tmp_path / "short.csv"
    short.write_text("\n".join(row for row in rows if "id10100" not in row))
    words = [str(short) if w == str(manifest) else w for w in command("full")]
    assert train.main([*words, "--allow-outside"]) == 2
    assert "Expected the 1251 classes" in capsys.readouterr().err


@pytest.mark.backend_free
def test_superb_frozen_is_that_of_s3prl():
    """Its config.yaml of the downstream voxceleb1, by hand."""
    protocol = config.SUPERB_FROZEN
    assert (protocol.learning_rate, protocol.batch_size) == (1e-4, 4 * 8)
    assert (protocol.clip_norm, protocol.weight_decay, protocol.l2) == (1.0, 0.0, 0.0)
    assert protocol.betas == (0.9, 0.999)
    steps = protocol.steps(138_361)
    assert abs(steps - 200_000) < 138_361 // 32
    rate = protocol.optimizer(138_361)._learning_rate
    assert [float(rate(step)) for step in (0, 100_000, 199_999)] == pytest.approx(
        [1e-4] * 3
    )
    assert protocol.selection == config.FULL.selection == "validation"
