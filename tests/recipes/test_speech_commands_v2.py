"""Speech Commands V2 runs for a moment."""

import numpy as np
import pytest
import soundfile

from keras_asit import presets
from recipes import stages
from recipes.speech_commands_v2 import folds, train


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
