"""The program of docs/resuming.md begins a run, and goes on with it."""

import re
import shutil
from pathlib import Path

import pytest

import keras_asit
from keras_asit import checkpoints
from tiny_asit import tiny_backbone

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "resuming.md"


@pytest.mark.large_on_jax
def test_the_program_runs(tmp_path, monkeypatch, capsys):
    """With a smaller backbone and heads, of a few clips."""
    [program] = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    heads = "local_dim=8, global_dim=8, projection_hidden_dims=(8,), "
    for written, instead in {
        'presets.load("asit_small", load_weights=False)': "presets.load('./small')",
        '"clips/", batch_size=32': (
            "'manifest.csv', batch_size=4, sample_rate=16000, crop_seconds=0.49, "
            "frontend=backbone.frontend"
        ),
        "batch_size=32, epochs=40": "batch_size=4, epochs=2",
        "epochs=40,": "epochs=2,",
        "(backbone, seed=0)": f"(backbone, {heads}reconstruction_hidden_dims=(8,))",
    }.items():
        assert program.count(written) == 1, written
        program = program.replace(written, instead)
    monkeypatch.chdir(tmp_path)
    keras_asit.presets.save(tiny_backbone(num_layers=1), "small")
    keras_asit.data.synthetic.write_dataset(
        ".", splits={"train": 1}, seconds=0.5, sample_rate=16000
    )
    for resumes in (False, True):
        exec(compile(program, DOCUMENT.name, "exec"), {})
        assert ("Resuming from" in capsys.readouterr().out) == resumes
        assert checkpoints.read_newest("runs/pretraining")[1]["epoch"] == 2
        assert Path("runs/backbone").is_dir()
        shutil.rmtree("runs/backbone")
