"""Speech Commands V2 runs for a moment."""

import csv

import numpy as np
import pytest
import soundfile

from keras_asit import data, presets
from keras_asit.data.prepare.speech_commands_archives import COMMANDS
from recipes import stages
from recipes.speech_commands_v2 import folds, folds_prepare, train

# Of the official test set, with their folds: SHA-1 modulo five.
SPEAKERS = {"87070229": 1, "0c540988": 2, "28497c5b": 3, "bfd26d6b": 4, "0cb74144": 5}


@pytest.mark.large_on_jax
def test_speech_commands_v2_trains(manifest_of, tiny_preset, tmp_path, written_by):
    clips = manifest_of("speech_commands_v2")
    words = f"--data {clips} --out {tmp_path} --tiny --backbone {tiny_preset} --seeds 0"
    words += " --protocol modern --normalisation backbone"
    assert train.main(words.split()) == 0
    row = written_by(tmp_path)
    assert row["scored_clips"] == {"0": 24}
    for text in ("protocol modern", "last epoch", "nothing, for a test", "backbone's"):
        assert text in row["result"]
    assert presets.describe(tmp_path / "seed-0" / "classifier")["mean"] == -8.0


def write_folds(folder, folds=("1", "2"), speaker="s{fold}{take}"):
    """Two words, two takes of each in every fold."""
    lines = ["path,label,speaker,fold"]
    for number, word in enumerate(("yes", "no")):
        for fold in folds:
            for take in range(2):
                path = folder / f"{word}_{fold}_{take}.wav"
                time = np.arange(4800) / 8000
                wave = 0.3 * np.sin(2 * np.pi * (300 + 900 * number) * time)
                soundfile.write(path, wave, 8000)
                who = speaker.format(fold=fold, take=take)
                lines.append(f"{path.name},{word},{who},{fold}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder / "manifest.csv"


@pytest.mark.large_on_jax
def test_folds_of_the_test_part_run(tmp_path):
    words = f"--data {write_folds(tmp_path)} --out {tmp_path / 'out'} --tiny"
    words += " --held-out 1 --seeds 0 --starts own"
    assert folds.main(words.split()) == 0
    found = stages.read_json(tmp_path / "out" / "results.json")
    assert set(found) == {"own", "own_knn", "own_probe"}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"speaker": "ann"}, "received ann in the folds 1 and 2"),
        ({"folds": ("1",)}, "Expected a column fold of two folds or more"),
    ],
)
def test_folds_that_are_none_are_refused(tmp_path, capsys, options, message):
    words = f"--data {write_folds(tmp_path, **options)} --out {tmp_path / 'out'}"
    assert folds.main(words.split()) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def official_test_set(tmp_path):
    """The archive of the official test set, as it unpacks; some of its clips."""
    folder = tmp_path / "speech_commands_test_set_v0.02"
    names = [f"{word}/{who}_nohash_0.wav" for word in COMMANDS for who in SPEAKERS]
    names += [f"_unknown_/bed_{who}_nohash_1.wav.wav" for who in SPEAKERS]
    names += [f"_silence_/{number}.wav" for number in range(20)]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / name, np.zeros(80), 8000)
    return folder


def test_folds_are_prepared_from_the_official_test_set(official_test_set):
    assert folds_prepare.main(["--data", str(official_test_set)]) == 0
    clips = data.read_manifest(official_test_set / "manifest.csv")
    folds.check(clips)
    assert len(clips) == 5 * 11 + 20 and len(clips.class_names) == 12
    found = {*zip(clips.columns["speaker"], clips.columns["fold"])}
    assert {pair for pair in found if pair[0]} == {
        (who, str(fold)) for who, fold in SPEAKERS.items()
    }
    assert len([pair for pair in found if not pair[0]]) == 5, "silence is in every fold"


def test_folds_of_half_an_archive_are_refused(official_test_set, capsys):
    (official_test_set / "_silence_").rename(official_test_set.parent / "elsewhere")
    assert folds_prepare.main(["--data", str(official_test_set)]) == 2
    assert "expected the folders ['_silence_']" in capsys.readouterr().err


def test_speakers_have_the_folds_that_were_measured(data_root):
    """Silence may differ: how its folds were drawn then is not known."""
    manifest = data_root / "speech_commands_v2_test" / "manifest.csv"
    with manifest.open(newline="", encoding="utf-8") as file:
        given = {row["speaker"]: int(row["fold"]) for row in csv.DictReader(file)}
    given.pop("")
    assert len(given) == 239
    assert given == {who: folds_prepare.fold_of(who) for who in given}
