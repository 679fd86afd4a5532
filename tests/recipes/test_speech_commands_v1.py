"""Speech Commands V1 runs for a moment."""

from keras_asit import presets
from recipes.speech_commands_v1 import train


def test_speech_commands_v1_trains(manifest_of, tmp_path, written_by):
    """From random weights, by AST's protocol, the epoch chosen on `valid`."""
    clips = manifest_of("speech_commands_v1")
    words = f"--data {clips} --out {tmp_path} --tiny --scratch tiny --seeds 0"
    assert train.main(words.split()) == 0
    row = written_by(tmp_path)
    assert 0 <= row["mean"] <= 100 and row["deviation"] is None
    assert row["scored_clips"] == {"0": 12}
    for text in (
        "protocol ast",
        "best epoch on the validation clips",
        "pretraining: none",
        "normalisation: the protocol's, -6.845978",
    ):
        assert text in row["result"]
        assert text in (tmp_path / "results.md").read_text()
    assert words in row["made_by"]["command"][0]
    assert (tmp_path / "confusion.png").is_file()
    table = (tmp_path / "seed-0" / "classes.csv").read_text().splitlines()
    assert len(table) == 13
    assert not (tmp_path / "seed-0" / "run").exists()
    classifier = presets.load(tmp_path / "seed-0" / "classifier", True)
    assert classifier.backbone.frontend.std == 5.5654526
