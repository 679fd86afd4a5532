"""FSDD: a miniature in the layout of the repository."""

import numpy as np
import pytest
import soundfile

from keras_asit import data, training
from recipes import cross_validation, cross_validation_command, stages
from recipes.fsdd import config, prepare, train

SPEAKERS = ("george", "lucas", "theo")


@pytest.fixture(scope="module")
def fsdd(tmp_path_factory):
    """The manifest of ten digits, three speakers and two takes."""
    folder = tmp_path_factory.mktemp("fsdd")
    (folder / "recordings").mkdir()
    for digit in range(10):
        for speaker in SPEAKERS:
            for take in (0, 5):
                rng = np.random.default_rng((digit, take))
                time = np.arange(4000) / 8000
                wave = 0.3 * np.sin(2 * np.pi * (200 + 150 * digit) * time)
                wave += 0.02 * rng.normal(size=time.size)
                name = f"{digit}_{speaker}_{take}.wav"
                soundfile.write(folder / "recordings" / name, wave, 8000)
    return prepare.prepare(folder)


@pytest.mark.large_on_jax
def test_one_speaker_is_held_out(fsdd, tmp_path):
    words = f"--data {fsdd} --out {tmp_path} --tiny --held-out theo --seeds 0"
    assert train.main([*words.split(), "--starts", "floor", "own"]) == 0
    found = stages.read_json(tmp_path / "results.json")
    assert set(found) == {
        *("floor_regression", "floor_forest", "own_knn", "own_probe", "own"),
    }
    assert found["own"]["groups"] == ["theo"]


def test_nothing_of_the_speaker_is_seen_before_the_score(fsdd, tmp_path, monkeypatch):
    """Neither by the normalisation, nor by pretraining, nor by fine-tuning."""
    seen = {}

    def spy(name, result=None):
        def use(*arguments, **_):
            used = arguments[1:2] if name == "fine_tune" else arguments
            for paths in (getattr(argument, "paths", argument) for argument in used):
                if isinstance(paths, np.ndarray):
                    seen.setdefault(name, []).extend(map(str, paths))
            if result is None:
                raise InterruptedError(name)
            return result

        return use

    monkeypatch.setattr(training, "normalisation", spy("normalisation", (-8.0, 4.0)))
    for name in ("pretrain", "fine_tune"):
        monkeypatch.setattr(training, name, spy(name))
    words = ["--data", "x", "--out", "y", "--tiny"]
    options = cross_validation_command.parser("", config).parse_args(words)
    study = cross_validation_command.study_from(options, config)
    kept = stages.Stages(tmp_path, {}, {})
    manifest = data.read_manifest(fsdd)
    held_out = cross_validation.HeldOut(manifest, study, "theo", 0, kept)
    other = study.model.backbone(study.model.frontend(-8.0, 4.0))
    monkeypatch.setattr(held_out.starts, "_of_other_sets", lambda: other)
    for measure in ("own", "all", "scratch"):
        with pytest.raises(InterruptedError):
            held_out.score(measure)
    assert set(seen) == {"normalisation", "pretrain", "fine_tune"}
    for name, paths in seen.items():
        assert len(set(paths)) == 40, name
        assert not [path for path in paths if "theo" in path], name
    assert len(held_out.test) == 20


def test_prepare_takes_a_manifest_and_refuses_another_set(fsdd, tmp_path, capsys):
    assert prepare.main(["--data", str(fsdd.parent)]) == 0
    assert capsys.readouterr().out.strip() == str(fsdd)
    (tmp_path / "manifest.csv").write_text("path,label,speaker\na.wav,cat,theo\n")
    assert prepare.main(["--data", str(tmp_path)]) == 2
    assert "Expected the digits 0 to 9" in capsys.readouterr().err
