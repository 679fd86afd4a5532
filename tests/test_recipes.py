"""Every recipe has its parts, and a test that runs it for a moment."""

import ast
import importlib
import re
import shlex
from pathlib import Path

import pytest

from keras_asit import cli

TESTS = Path(__file__).resolve().parent
RECIPES = TESTS.parent / "recipes"
PARTS = ["README.md", "config.py", "prepare.py", "train.py"]
FOLDERS = sorted({file.parent.name for file in RECIPES.glob("*/*") if file.is_file()})
WANTED = {
    *("audioset_pretrain", "audioset_20k", "audioset_2m", "esc50", "esc10", "fsdd"),
    *("speech_commands_v1", "speech_commands_v2", "voxceleb_sid", "ablations"),
}
# Of the source of tests.
LEFT_OUT = re.compile(r"skip|xfail|mark\.large\b|\bpytestmark\b")
RUNS = re.compile(r"assert (train\.main|run)\(.* == 0")


def test_the_recipes_are_those_of_the_paper_and_two_small_ones():
    assert set(FOLDERS) == WANTED


def runs_for_a_moment(text):
    """Whether a test that is always run says that `train` ends well, with `--tiny`."""
    sources = [ast.unparse(node) for node in ast.parse(text).body]
    if any(LEFT_OUT.search(s) for s in sources if "def " not in s):
        return False
    tests = [s for s in sources if "def test_" in s and not LEFT_OUT.search(s)]
    calls_train = "train.main(" in text and "--tiny" in text
    return calls_train and any(RUNS.search(test) for test in tests)


@pytest.mark.parametrize("name", FOLDERS)
def test_recipe_is_covered(name):
    """A test file of its name runs its `train` with `--tiny`."""
    file = TESTS / "recipes" / f"test_{name}.py"
    text = file.read_text(encoding="utf-8")
    assert f"recipes.{name}" in text
    assert runs_for_a_moment(text)


@pytest.mark.parametrize(
    "text, covered",
    [
        ("def test_it():\n    assert train.main(['--tiny']) == 0", True),
        ("def test_it():\n    assert train.main(['--tiny']) == 2", False),
        ("def test_it():\n    skip()\n    assert train.main(['--tiny']) == 0", False),
        ("pytestmark = x\ndef test_it():\n    assert train.main('--tiny') == 0", False),
    ],
)
def test_a_skipped_or_failing_run_covers_nothing(text, covered):
    assert runs_for_a_moment(text) == covered


@pytest.mark.parametrize("name", FOLDERS)
def test_recipe_has_its_parts(name):
    for part in PARTS:
        assert (RECIPES / name / part).is_file(), part
    readme = (RECIPES / name / "README.md").read_text(encoding="utf-8")
    for heading in ("## Data", "## Commands", "## Results", "## Cost"):
        assert heading in readme, heading
    assert f"python -m recipes.{name}.train" in readme


def commands():
    """`(module, words)` of every command in the README of a recipe."""
    for file in sorted(RECIPES.glob("*/README.md")):
        text = file.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in text.splitlines():
            words = shlex.split(line) if line.startswith("    python -m ") else []
            if len(words) > 3:
                yield pytest.param(words[2], words[3:], id=line.strip()[10:70])


@pytest.mark.parametrize("module, words", commands())
def test_commands_of_the_readme_are_understood(module, words, monkeypatch):
    monkeypatch.setattr(cli, "exit_status", lambda *_: 0)
    assert importlib.import_module(module).main(words) == 0


@pytest.mark.parametrize("name", FOLDERS)
def test_readme_is_finished(name):
    text = (RECIPES / name / "README.md").read_text(encoding="utf-8")
    assert not re.search(r"^[A-Z_]{4,}$", text, re.MULTILINE)
