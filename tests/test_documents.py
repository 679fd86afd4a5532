"""The code of the documents runs."""

import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile

from keras_asit import data, presets
from tiny_asit import tiny_backbone

ROOT = Path(__file__).resolve().parent.parent
BACKEND = keras.backend.backend()


def programs():
    """Blocks of docs/devices.md, by the heading that they stand under."""
    text = (ROOT / "docs" / "devices.md").read_text(encoding="utf-8")
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        heading = section.split("\n", 1)[0].lower()
        for block in re.findall(r"```python\n(.*?)```", section, re.DOTALL):
            yield heading, block


def test_every_program_is_for_a_backend():
    assert sorted(heading for heading, _ in programs()) == ["jax", "jax", "tensorflow"]


def programs_here():
    """Those of this backend; all but the first take as long and show little more."""
    mine = [block for heading, block in programs() if heading == BACKEND]
    return [mine[0], *(pytest.param(b, marks=pytest.mark.large) for b in mine[1:])]


@pytest.mark.parametrize("program", programs_here())
def test_the_programs_of_devices_run(program, monkeypatch):
    """With a smaller backbone, then one step, in a process of their own."""
    written = "ASiTBackbone((592, 128), hidden_dim=384, num_layers=12, num_heads=6)"
    smaller = (
        "ASiTBackbone((32, 32), hidden_dim=8, num_layers=1, num_heads=2, mlp_dim=8)"
    )
    heads = (
        "local_dim=8, global_dim=8, projection_hidden_dims=(8,), "
        "reconstruction_hidden_dims=(8,)"
    )
    assert written in program
    program = program.replace(written, smaller)
    program = program.replace("(backbone)", f"(backbone, {heads})")
    program += (
        "\nimport numpy as np\nviews = np.zeros((4, 2, 32, 32), 'float32')\n"
        "pretrainer.fit(views, batch_size=4, verbose=0)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.large_on_jax
def test_the_programs_of_transfer_run(tmp_path, monkeypatch):
    """On generated clips and a small preset, for one epoch."""
    text = (ROOT / "docs" / "transfer.md").read_text(encoding="utf-8")
    tune, embed = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    clips = data.synthetic.write_dataset("esc50", splits={"1": 1, "2": 2}, seconds=0.5)
    table = Path(clips).read_text(encoding="utf-8").replace("split", "fold", 1)
    Path("esc50/manifest.csv").write_text(table, encoding="utf-8")
    first = data.read_manifest("esc50/manifest.csv").paths[0]
    soundfile.write("dog.wav", *soundfile.read(first))
    presets.save(tiny_backbone(), "my_preset", trained_on="nothing")
    for written, small in {
        "epochs=50": "epochs=2, batch_size=8",
        "seconds=5.0": "seconds=0.4",
        "warmup_epochs=5": "warmup_epochs=1",
    }.items():
        assert written in tune
        tune = tune.replace(written, small, 1)
    space = {}
    exec(tune, space)
    assert 0 <= space["result"].score <= 1
    assert space["result"].epoch == 2
    audio = np.zeros((2, 16000), "float32")
    exec(embed, {"audio": audio, "made": (made := {})}, made)
    assert np.asarray(made["scene"]).shape == (2, 32)
