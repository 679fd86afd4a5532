"""ESC-50 runs for a moment."""

import json

import pytest

from keras_asit import data
from recipes.esc50 import config, prepare, train


@pytest.fixture(scope="module")
def manifest(esc50):
    assert prepare.main(["--data", str(esc50)]) == 0
    return esc50 / "manifest.csv"


def test_prepare_finds_the_folds(manifest):
    clips = data.read_manifest(manifest)
    prepare.check(clips)
    assert len(clips.where(fold="3")) == 50


def test_another_set_is_refused_in_one_line(manifest, tmp_path, capsys):
    two_folds = manifest.with_name("two_folds.csv")
    data.read_manifest(manifest).where(fold=["1", "2"]).write_csv(two_folds)
    words = f"--data {two_folds} --out {tmp_path}".split()
    capsys.readouterr()
    assert train.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the folds ['1', '2']" in line


def test_start_without_a_preset_is_refused_in_one_line(manifest, tmp_path, capsys):
    words = f"--data {manifest} --out {tmp_path} --tiny --starts preset".split()
    capsys.readouterr()
    assert train.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--backbone PRESET" in line


@pytest.mark.large_on_jax
def test_esc50_trains(manifest, tiny_preset, tmp_path, written_by):
    """One fold, a preset, by its neighbours, a probe and AST's published rule."""
    words = f"--data {manifest} --out {tmp_path} --tiny --held-out 1 --seeds 0 "
    words += f"--starts preset --backbone {tiny_preset} --protocol ast_published"
    assert train.main(words.split()) == 0
    rows = written_by(tmp_path)
    assert set(rows) == {"preset", "preset_knn", "preset_probe"}
    assert all(0 <= row["mean"] <= 100 for row in rows.values())
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["protocol"]["selection"] == "ast_published"
    assert (tmp_path / "fold-1" / "seed-0" / "preset.json").is_file()


@pytest.mark.backend_free
def test_protocols_are_those_of_ast():
    """Sections 1 and 7 of the specification, by hand."""
    rows = {
        "ast": (1e-4, 0.1, 10, "last"),
        "ast_supervised": (1e-5, 0, 0, "last"),
        "ast_published": (1e-4, 0.1, 10, "ast_published"),
    }
    for name, row in rows.items():
        p = config.PROTOCOLS[name]
        assert p.name == name
        assert (p.learning_rate, p.noise, p.roll_frames, p.selection) == row
        assert (p.epochs, p.batch_size) == (25, 48)
        assert (p.seconds, p.num_frames) == (5.0, 512)
        assert (p.mean, p.std) == (-6.6268077, 5.358466)
        assert (p.frequency_mask, p.time_mask, p.mixup) == (24, 96, 0)
        assert (p.mask_fill, p.clip_norm) == ("zero_before_normalisation", None)
        assert (p.schedule, p.decay_factor, p.decay_after) == ("step", 0.85, 5)
        assert (p.betas, p.l2, p.weight_decay) == ((0.95, 0.999), 5e-7, 0)
        assert (p.loss, p.metric) == ("cross_entropy", "accuracy")
