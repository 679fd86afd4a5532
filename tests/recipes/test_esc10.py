"""ESC-10: a miniature in the layouts that the set is published in."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from keras_asit import data, presets
from recipes import cross_validation, cross_validation_command, stages
from recipes.esc10 import config, prepare, train
from recipes.starts import Starts

# Ten classes, five folds, one short clip each.
CLASSES = [f"class {number:02}" for number in range(10)]


def write_clip(path, number, rate=8000):
    """A tone whose pitch tells the class, in noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(0.6 * rate)) / rate
    noise = np.random.default_rng(number).normal(size=time.size)
    wave = 0.3 * np.sin(2 * np.pi * (200 + 150 * (number % 10)) * time) + 0.02 * noise
    soundfile.write(path, wave, rate)


def write_esc10(folder):
    """`001 - class 00/1-1000-A.ogg`, as the data set is published."""
    for label, name in enumerate(CLASSES):
        for fold in range(1, 6):
            number = 1000 * fold + label
            path = folder / f"{label + 1:03} - {name}" / f"{fold}-{number}-A.ogg"
            write_clip(path, number)
    return folder


def write_esc50(folder):
    """`meta/esc50.csv` and `audio/`, with a class that is not of ESC-10."""
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for label, name in enumerate([*CLASSES, "other"]):
        for fold in range(1, 6):
            number = 1000 * fold + label
            file, of_esc10 = f"{fold}-{number}-A-{label}.wav", name != "other"
            write_clip(folder / "audio" / file, number)
            lines.append(f"{file},{fold},{label},{name},{of_esc10},{number},A")
    (folder / "meta").mkdir()
    (folder / "meta" / "esc50.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def esc10(tmp_path_factory):
    """The manifest of a miniature."""
    return prepare.prepare(write_esc10(tmp_path_factory.mktemp("esc10")))


@pytest.mark.parametrize("write", [write_esc10, write_esc50])
def test_esc10_prepare_finds_the_clips_and_folds(write, tmp_path, capsys):
    folder = write(tmp_path / "data set")
    assert prepare.main(["--data", str(folder)]) == 0
    manifest = data.read_manifest(capsys.readouterr().out.strip())
    assert len(manifest) == 50
    assert manifest.class_names == CLASSES
    fold = manifest.where(fold="3")
    assert len(fold) == 10
    assert all(Path(path).name.startswith("3-") for path in fold.paths)
    assert all(Path(path).is_file() for path in manifest.paths)


def test_esc10_prepare_uses_the_manifest_of_real_recordings(data_root):
    path = prepare.prepare(data_root / "esc10")
    assert path == data_root / "esc10" / "manifest.csv"
    assert len(data.read_manifest(path)) == 400


def test_esc10_prepare_is_not_misled_by_the_manifest_of_esc50(tmp_path):
    folder = write_esc50(tmp_path)
    assert len(data.read_manifest(data.prepare.esc50(folder)).class_names) == 11
    path = prepare.prepare(folder)
    assert path == folder / "esc10.csv"
    assert data.read_manifest(path).class_names == CLASSES


def test_esc10_prepare_refuses_what_is_not_esc10(tmp_path, capsys):
    assert prepare.main(["--data", str(tmp_path)]) == 2
    assert "001 - Dog bark" in capsys.readouterr().err
    folder = write_esc10(tmp_path / "incomplete")
    for file in folder.glob("004*/*"):
        file.unlink()
    with pytest.raises(ValueError, match="Expected 10 classes and 5 folds"):
        prepare.prepare(folder)


def test_esc10_prepare_leaves_nothing_that_it_refuses(tmp_path, capsys):
    folder = write_esc10(tmp_path)
    write_clip(folder / "001 - class 00" / "2-1000-B.ogg", 0)
    before = sorted(folder.iterdir())
    assert prepare.main(["--data", str(folder)]) == 2
    assert "recording 1000" in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before


def test_esc10_prepare_keeps_a_manifest_of_another_hand(tmp_path):
    folder = write_esc10(tmp_path)
    path = prepare.prepare(folder)
    assert prepare.prepare(folder) == path, "its own"
    own = path.read_text()
    path.write_text(own.replace(",2,", ",1,"))
    with pytest.raises(ValueError, match=r"Expected no .*esc10\.csv.*Move it away"):
        prepare.prepare(folder)
    assert path.read_text() != own


def test_esc10_prepare_names_the_columns_that_are_missing(tmp_path):
    (tmp_path / "meta").mkdir()
    table = "filename,fold,target,category\na.wav,1,0,x\n"
    (tmp_path / "meta" / "esc50.csv").write_text(table)
    with pytest.raises(ValueError, match=r"without \['esc10', 'src_file'\]"):
        prepare.prepare(tmp_path)


def test_esc10_prepare_refuses_a_recording_in_two_folds(tmp_path):
    folder = write_esc10(tmp_path)
    write_clip(folder / "001 - class 00" / "2-1000-B.ogg", 0)
    with pytest.raises(ValueError, match="recording 1000 has clips in the folds"):
        prepare.prepare(folder)


@pytest.fixture
def command(esc10, tmp_path):
    """Arguments for one fold and seed of a tiny run in `tmp_path`."""
    return f"--data {esc10} --out {tmp_path} --tiny --held-out 1 --seeds 0".split()


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """The manifest of another set, without labels."""
    folder = tmp_path_factory.mktemp("others")
    for number in range(10):
        write_clip(folder / f"recording-{number}.wav", 100 + number)
    lines = ["path", *(f"recording-{number}.wav" for number in range(10))]
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder / "manifest.csv"


@pytest.mark.large_on_jax
def test_all_starts_run_for_a_moment(command, others, tmp_path):
    """A folder that an earlier command began takes further starts."""
    assert train.main([*command, "--starts", "floor", "scratch"]) == 0
    starts = ["--starts", "own", "all", "--others", str(others)]
    assert train.main([*command, *starts]) == 0
    found = stages.read_json(tmp_path / "results.json")
    assert set(found) == {
        *("floor_regression", "floor_forest"),
        *("scratch_knn", "scratch_probe", "scratch"),
        *("own_knn", "own_probe", "own", "all_knn", "all_probe", "all"),
    }
    assert all(0 <= row["mean"] <= 100 for row in found.values())
    assert (tmp_path / "own_confusion.png").stat().st_size > 10_000
    backbone = presets.load(tmp_path / "fold-1" / "seed-0" / "own_backbone", True)
    assert backbone.num_layers == 1
    table = (tmp_path / "results.md").read_text()
    assert "| own_probe |" in table
    assert "python -m recipes.esc10.train" in table
    assert "protocol modern, 1 epochs, scored by accuracy; the last epoch" in table
    assert "Pretrainings `others`: 1, of 2 steps each" in table
    all_backbone = presets.load(tmp_path / "fold-1" / "seed-0" / "all_backbone", True)
    assert all_backbone.frontend.mean == backbone.frontend.mean


def test_other_sets_may_hold_no_clip_of_this_one(command, esc10, tmp_path, capsys):
    """ESC-50 holds ESC-10, under longer names."""
    esc50 = write_esc50(tmp_path / "esc50")
    lines = ["path", *(str(p) for p in sorted((esc50 / "audio").glob("*.wav")))]
    (esc50 / "manifest.csv").write_text("\n".join(lines) + "\n")
    for other in (esc10, esc50 / "manifest.csv"):
        assert train.main([*command, "--starts", "all", "--others", str(other)]) == 2
        assert "50 clips that are scored are among the other sets" in (
            capsys.readouterr().err
        )


def test_other_pretrainings_are_refused_where_they_would_be_mixed(
    command, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(cross_validation.HeldOut, "score", lambda *_: 50.0)
    monkeypatch.setattr(cross_validation.results, "report", lambda *_: {})
    assert train.main([*command, "--starts", "own"]) == 0
    assert train.main([*command, "--starts", "scratch", "--steps", "9"]) == 0
    assert train.main([*command, "--starts", "own", "--steps", "9"]) == 2
    assert "pretraining.steps is 2 there, 9 here" in capsys.readouterr().err


@pytest.mark.large_on_jax
def test_a_preset_is_fine_tuned_by_the_protocol_of_ast(command, tmp_path):
    model = cross_validation_command.TINY_MODEL
    preset, out = tmp_path / "preset", tmp_path / "ast"
    presets.save(model.backbone(model.frontend(-5.0, 3.0)), preset, trained_on="none")
    command[command.index("--out") + 1] = str(out)
    more = ["--starts", "preset", "--backbone", str(preset), "--protocol", "ast"]
    assert train.main([*command, *more]) == 0
    assert set(stages.read_json(out / "results.json")) == {
        *("preset", "preset_knn", "preset_probe"),
    }


@pytest.mark.parametrize(
    "more, message",
    [
        ("--held-out 9", r"Expected folds of .*'5'\]; received ['9']"),
        ("--starts all", "The start 'all' pretrains on other sets too"),
        ("--starts preset", "The start 'preset' needs a backbone"),
    ],
)
def test_what_is_missing_is_said_before_anything_is_run(
    command, more, message, capsys, tmp_path
):
    assert train.main([*command, *more.split()]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("train: error: ")
    assert message.replace("\\", "").split(".*")[-1] in line
    assert not list(tmp_path.glob("fold-*"))


@pytest.mark.large_on_jax
@pytest.mark.parametrize(
    "more, seconds, message",
    [
        (["--epochs", "2"], 4.8, "The warm-up of 8 steps is longer than the run of 2."),
        ([], 6.0, "the rest would never be seen. Give the protocol num_frames="),
    ],
)
def test_a_protocol_that_does_not_fit_is_refused_before_the_pretraining(
    esc10, tmp_path, more, seconds, message, capsys, monkeypatch
):
    protocol = config.MODERN.replace(seconds=seconds, batch_size=40)
    monkeypatch.setitem(config.PROTOCOLS, "modern", protocol)
    words = ["--data", str(esc10), "--out", str(tmp_path), "--starts", "own", *more]
    assert train.main(words) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_clips_outside_the_folder_can_be_allowed(esc10, tmp_path, monkeypatch, capsys):
    manifest = tmp_path / "manifest.csv"
    lines = esc10.read_text().splitlines()
    rows = [str(esc10.parent / line) for line in lines[1:]]
    manifest.write_text("\n".join([lines[0], *rows]) + "\n")
    monkeypatch.setattr(cross_validation, "run", lambda *_, **given: None)
    words = ["--data", str(manifest), "--out", str(tmp_path / "out")]
    assert train.main(words) == 2
    assert "allow_outside" in capsys.readouterr().err
    assert train.main([*words, "--allow-outside"]) == 0


def test_links_out_of_the_folder_are_not_pretrained_on(tmp_path):
    write_clip(tmp_path / "outside.wav", 0)
    root = tmp_path / "set"
    root.mkdir()
    (root / "link.wav").symlink_to(tmp_path / "outside.wav")
    clips = data.Manifest([str(root / "link.wav")], root=root, allow_outside=False)
    kept = stages.Stages(tmp_path / "out", {}, {})
    for start, own in (("own", clips), ("all", data.Manifest(["1.wav"]))):
        starts = Starts(None, own, None, 0, kept, "fold-1/seed-0", [clips])
        with pytest.raises(data.ManifestError, match=r"link\.wav"):
            starts.backbone(start)


@pytest.mark.parametrize(
    "wrong", ["--labels -3", "--labels 0", "--seeds -1", "--steps 0", "--epochs 0"]
)
def test_wrong_arguments(command, wrong, capsys):
    with pytest.raises(SystemExit) as end:
        train.main([*command, *wrong.split()])
    assert end.value.code == 2
    assert "expected a" in capsys.readouterr().err
