"""AudioSet-20K runs for a moment."""

import json

import pytest

from keras_asit import presets
from recipes.audioset_20k import train


def enhanced_json(folder, path):
    """What AST's enhanced label set looks like: other labels of the same clips."""
    clips = sorted((folder / "audio").glob("balanced*.wav"))
    rows = [{"wav": str(clip), "labels": "/m/09x0r,/m/05zppz"} for clip in clips]
    path.write_text(json.dumps({"data": rows}))
    return path


@pytest.mark.large_on_jax
def test_audioset_20k_trains(
    manifest_of, audioset, tiny_preset, tmp_path, written_by, capsys
):
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
    assert capsys.readouterr().out.splitlines()[-1].endswith(", labels: enhanced")
    trained_on = presets.describe(out / "seed-0" / "classifier")["trained_on"]
    assert trained_on.endswith("official evaluation split; labels: enhanced")
    assert len((out / "seed-0" / "classes.csv").read_text().splitlines()) == 528
    assert not (out / "confusion.png").exists(), "clips have several classes"
    settings = json.loads((out / "settings.json").read_text())
    counts = {part: clips.split(",")[0] for part, clips in settings["clips"].items()}
    assert counts == {"train": "10 clips", "test": "9 clips"}


def test_labels_of_a_file_have_to_be_said(manifest_of, audioset, tmp_path, capsys):
    listed = enhanced_json(audioset, tmp_path / "enhanced.json")
    words = f"--data {manifest_of('audioset_20k')} --out {tmp_path / 'out'} --tiny "
    words += f"--scratch tiny --train-json {listed} --allow-outside"
    capsys.readouterr()
    assert train.main(words.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "Give --labels original or enhanced" in line
    assert not (tmp_path / "out").exists()
