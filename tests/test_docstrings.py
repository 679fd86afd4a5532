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


@pytest.mark.parametrize("name", modules_with_examples())
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
