"""Every tutorial runs from top to bottom, and is kept without outputs."""

import copy
from pathlib import Path

import keras
import matplotlib
import nbformat
import numpy as np
import pytest
import soundfile
from nbclient import NotebookClient

from keras_asit import data

ROOT = Path(__file__).resolve().parent.parent
TUTORIALS = sorted((ROOT / "tutorials").glob("*.ipynb"))
FEWEST_PICTURES = {"01_hear_and_see": 10}


@pytest.fixture(scope="module", params=TUTORIALS, ids=lambda file: file.stem)
def tutorial(request):
    """File and content of one tutorial."""
    return request.param, nbformat.read(request.param, as_version=4)


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """Two steps of training on generated sounds; kernels inherit the environment."""
    monkeypatch.setenv("KERAS_ASIT_TUTORIAL_STEPS", "2")
    monkeypatch.delenv("KERAS_ASIT_TUTORIAL_DATA", raising=False)
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    return tmp_path


def outputs(notebook):
    for cell in notebook.cells:
        yield from cell.get("outputs", [])


def test_there_are_tutorials():
    assert [file.stem for file in TUTORIALS] == sorted(FEWEST_PICTURES)


@pytest.mark.large_on_jax
@pytest.mark.timeout(900)
def test_runs_and_draws(tutorial, quick):
    file, notebook = tutorial
    notebook = copy.deepcopy(notebook)
    client = NotebookClient(
        notebook,
        timeout=800,
        kernel_name="python3",
        resources={"metadata": {"path": str(quick)}},
    )
    client.execute()  # raises CellExecutionError with the cell's traceback
    found = list(outputs(notebook))
    assert not [out for out in found if out.output_type == "error"]
    assert not [o for o in found if "Traceback" in o.get("text", "")]
    pictures = [out for out in found if "image/png" in out.get("data", {})]
    assert len(pictures) >= FEWEST_PICTURES[file.stem]
    assert f"on {keras.backend.backend()}" in "".join(
        out.get("text", "") for out in found
    )


@pytest.mark.large_on_jax
@pytest.mark.parametrize("file", ["", "1.wav"], ids=["folder", "file"])
def test_own_recordings(file, monkeypatch, tmp_path):
    """Three clips without labels, where a batch wants 24; nothing is trained."""
    for i in range(3):
        wave = 0.1 * np.random.default_rng(i).normal(size=20000)
        soundfile.write(tmp_path / f"{i}.wav", wave, 16000)
    monkeypatch.setenv("KERAS_ASIT_TUTORIAL_DATA", str(tmp_path / file))
    write = data.synthetic.write_dataset
    monkeypatch.setattr(
        data.synthetic,
        "write_dataset",
        lambda path, splits, seed: write(path, splits={"train": 2}, seed=seed),
    )
    matplotlib.use("Agg")
    notebook = nbformat.read(TUTORIALS[0], as_version=4)
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    needed = ("import os", "RATE =", "filterbank =", "CROP_SECONDS =", "view_options =")
    names = {}
    for start in (*needed, "batch ="):
        (source,) = (cell for cell in code if cell.startswith(start))
        exec(source, names)
    found = len(names["manifest"])
    assert names["paths"][0] == str(tmp_path / (file or "0.wav"))
    assert found == (24 if file else 3)
    shape = next(iter(names["views"])).shape
    assert tuple(shape) == (min(24, found), 2, 96, 64)


@pytest.mark.backend_free
def test_is_stripped_and_valid(tutorial):
    _, notebook = tutorial
    nbformat.validate(notebook)
    assert not list(outputs(notebook)), "clear all outputs before committing"
    counts = [cell.get("execution_count") for cell in notebook.cells]
    assert not any(counts), "clear all outputs before committing"
    assert notebook.metadata.kernelspec.name == "python3"


@pytest.mark.backend_free
def test_begins_with_its_title_and_ends_with_exercises(tutorial):
    _, notebook = tutorial
    assert notebook.cells[0].source.startswith("# ")
    assert "## Exercises" in notebook.cells[-1].source
