"""Speech Commands V2 runs for a moment."""

import pytest

from keras_asit import presets
from recipes.speech_commands_v2 import train


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
