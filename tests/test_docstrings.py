"""The examples of all docstrings run and print what they say."""

import doctest
import importlib
import re
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_asit

PACKAGE = Path(keras_asit.__file__).parent
PROMPT = re.compile(r"^\s*>>> ", re.MULTILINE)


def modules_with_examples():
    """Dotted names of all modules whose source has a `>>>`."""
    for file in sorted(PACKAGE.rglob("*.py")):
        if PROMPT.search(file.read_text(encoding="utf-8")):
            parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
            yield ".".join(parts).removesuffix(".__init__")


def small_backbone():
    return keras_asit.models.ASiTBackbone(
        (32, 32), hidden_dim=16, num_layers=1, num_heads=2, mlp_dim=16
    )


def small_pretrainer():
    widths = {f"{head}_hidden_dims": (8,) for head in ("projection", "reconstruction")}
    pretrainer = keras_asit.models.ASiTPretrainer(
        small_backbone(), local_dim=8, global_dim=8, **widths
    )
    pretrainer.compile()
    return pretrainer


# What a reader has at hand when an example begins, made only for the examples that
# name it. Everything else an example must make, or import, itself.
AT_HAND = {
    "backbone": small_backbone,
    "pretrainer": small_pretrainer,
    "views": lambda: np.random.default_rng(0).normal(size=(4, 2, 32, 32)),
    "features": lambda: np.random.default_rng(0).normal(size=(4, 32, 32)),
    "targets": lambda: np.array([0, 1, 2, 9]),
    "ASiTBackbone": lambda: keras_asit.models.ASiTBackbone,
}


def names_at_hand(test):
    source = "".join(example.source for example in test.examples)
    named = {
        name: make()
        for name, make in AT_HAND.items()
        if re.search(rf"\b{name}\b", source) and name not in test.globs
    }
    return {"keras": keras, "np": np, "keras_asit": keras_asit, **named}


# Examples that train: of what is tested elsewhere too, or compiled long on JAX.
MARKS = {
    "keras_asit.callbacks.probe": pytest.mark.large,
    "keras_asit.callbacks.progress_bar": pytest.mark.large,
    "keras_asit.callbacks.tensorboard": pytest.mark.large,
    "keras_asit.callbacks.checkpoint": pytest.mark.large_on_jax,
    "keras_asit.embedding": pytest.mark.large_on_jax,
    "keras_asit.models.pretrainer": pytest.mark.large_on_jax,
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=MARKS[name]) if name in MARKS else name
        for name in modules_with_examples()
    ],
)
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write files
    module = importlib.import_module(name)
    tests = [test for test in doctest.DocTestFinder().find(module) if test.examples]
    source = Path(module.__file__).read_text(encoding="utf-8")
    found = sum(len(test.examples) for test in tests)
    assert found == len(PROMPT.findall(source)), "an example that nothing collects"
    assert "+SKIP" not in source
    for test in tests:
        test.globs.update(names_at_hand(test))
        report = []
        result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(
            test, out=report.append
        )
        assert result.failed == 0, "".join(report)


@pytest.mark.large_on_jax
def test_the_example_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    """With a smaller backbone, and one epoch of a few clips."""
    readme = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")
    [example] = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    frontend = keras_asit.audio.LogMelFilterbank(32000, num_mel_bins=32, num_frames=32)
    backbone = keras_asit.models.ASiTBackbone(
        (32, 32), hidden_dim=16, num_layers=1, num_heads=2, frontend=frontend
    )
    keras_asit.presets.save(backbone, tmp_path / "small")
    monkeypatch.chdir(tmp_path)
    keras_asit.data.synthetic.write_dataset(".", splits={"train": 1}, seconds=0.5)
    clip = keras_asit.data.read_manifest("manifest.csv").paths[0]
    for written, instead in {
        '"asit_small"': '"./small"',
        '"dog.wav"': repr(str(clip)),
        "batch_size=32": "batch_size=4",
        "epochs=40": "epochs=1",
        "epochs=10": "epochs=1",
    }.items():
        assert written in example
        example = example.replace(written, instead)
    exec(compile(example, "README.md", "exec"), {})
    [(name, probability), *others] = eval(capsys.readouterr().out.splitlines()[-1])
    assert name in keras_asit.data.synthetic.CLASS_NAMES
    assert len(others) == 4
    assert 0 < probability <= 1
