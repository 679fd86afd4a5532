"""AudioSet-2M runs for a moment."""

import json

import pytest

from recipes.audioset_2m import train


@pytest.mark.large_on_jax
def test_audioset_2m_trains(manifest_of, tmp_path, written_by):
    words = f"--data {manifest_of('audioset_2m')} --out {tmp_path} --tiny --seeds 0 "
    words += "--scratch small --protocol modern"
    assert train.main(words.split()) == 0
    settings = json.loads((tmp_path / "settings.json").read_text())
    counts = {part: clips.split(",")[0] for part, clips in settings["clips"].items()}
    assert counts == {"train": "22 clips", "test": "9 clips"}
    assert settings["protocol"]["balanced"]
    assert "labels: original" in written_by(tmp_path)["result"]
