"""The page on watching a run does what it says."""

import re
from pathlib import Path

import numpy as np
import pytest

from keras_asit.optimizers import ScheduledAdamW
from reading_events import read_events
from tiny_asit import clean_views, tiny_backbone, tiny_pretrainer, waveforms

PAGE = Path(__file__).parent.parent / "docs" / "watching.md"


@pytest.mark.large_on_jax
def test_the_code_of_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pretrainer = tiny_pretrainer(backbone=tiny_backbone(num_layers=1))
    pretrainer.compile(ScheduledAdamW(1e-3))
    clips = waveforms(12)[:, 0], np.arange(12) % 2
    names = {
        "pretrainer": pretrainer,
        "dataset": clean_views(4),
        "views": clean_views(2),
        "train": clips,
        "test": clips,
        "names": ["dog", "rain"],
    }
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert "epochs=10" in blocks[0]
    for block in blocks:
        exec(compile(block.replace("epochs=10", "epochs=1"), PAGE.name, "exec"), names)
    told = capsys.readouterr().out.splitlines()[-2:]
    assert [line.split()[0] for line in told] == ["knn_accuracy", "linear_accuracy"]
    tags = read_events("logs/first").Tags()
    groups = {tag.partition("/")[0] for tag in tags["scalars"]}
    assert groups == {"epoch", "doctor", "probe", "schedule"}
    assert tags["images"] == ["reconstructions"]
    assert len(Path("logs/first.csv").read_text().splitlines()) == 2
    assert Path("logs/first/projector_config.pbtxt").exists()
