"""AudioSet-20K runs for a moment."""

import json

import pytest

from recipes.audioset_20k import train


def enhanced_json(folder, path):
    """What AST's enhanced label set looks like: other labels of the same clips."""
    clips = sorted((folder / "audio").glob("balanced*.wav"))
    rows = [{"wav": str(clip), "labels": "/m/09x0r,/m/05zppz"} for clip in clips]
    path.write_text(json.dumps({"data": rows}))
    return path


@pytest.mark.large_on_jax
def test_audioset_20k_trains(manifest_of, audioset, tiny_preset, tmp_path, written_by):
    listed = enhanced_json(audioset, tmp_path / "enhanced.json")
    out = tmp_path / "out"
    words = f"--data {manifest_of('audioset_20k')} --out {out} --tiny --seeds 0 "
    words += f"--backbone {tiny_preset} --labels enhanced --train-json {listed}"
    assert train.main(words.split()) == 2, "clips outside the JSON's folder"
    assert train.main([*words.split(), "--allow-outside"]) == 0
    row = written_by(out)
    assert row["measure"] == "mAP" and row["scored_clips"] == {"0": 9}
    for text in ("labels: enhanced", "averaged over the epochs 1 to 1", "mAP"):
        assert text in row["result"]
    assert len((out / "seed-0" / "classes.csv").read_text().splitlines()) == 528
    assert not (out / "confusion.png").exists(), "clips have several classes"
    settings = json.loads((out / "settings.json").read_text())
    assert settings["clips"] == {"train": 10, "test": 9}
