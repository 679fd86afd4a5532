"""What holds for the project as a whole: its shape, its names, its metadata."""

import ast
import functools
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "keras_asit"

# The way of the data: file, waveform, fbank, views, corruption, ViT, heads, losses,
# teacher, and what is built on them. A module imports only from entries before its own,
# or from its own package.
DATA_FLOW = [
    "version",
    "whole_files",
    "replicas",
    "squares",
    "processes",
    "devices",
    "distribution",
    "audio",
    "data",
    "layers",
    "losses",
    "metrics",
    "schedules",
    "layer_rates",
    "optimizers",
    "checkpoints",
    "evaluation",
    "pictures",
    "callbacks",
    "models",
    "presets",
    "embedding",
    "hear",
    "audit",
    "training",
    "quickstart",
    "cli",
]

# The public names of the library, a contract with its users.
PUBLIC_NAMES = [
    "__version__",
    "audio.read",
    "audio.AudioError",
    "audio.LogMelFilterbank",
    "data.read_manifest",
    "data.pretraining_dataset",
    "data.labelled_dataset",
    "data.shards.write",
    "data.prepare.esc50",
    "audio.length",
    "audit.audit",
    "layers.GMMLCorruption",
    "layers.PatchEmbedding",
    "layers.TransformerBlock",
    "layers.DropPath",
    "layers.ReconstructionHead",
    "layers.ProjectionHead",
    "models.ASiTBackbone",
    "models.ASiTPretrainer",
    "models.ASiTClassifier",
    "models.SuperbClassifier",
    "models.hidden_states",
    "callbacks.EMATeacher",
    "distribution.layout_map",
    "presets.load",
    "presets.save",
    "presets.names",
    "presets.describe",
    "presets.from_vision_transformer",
    "presets.resized",
    "evaluation.mean_average_precision",
    "evaluation.knn_accuracy",
    "evaluation.linear_probe",
    "evaluation.average_precision",
    "evaluation.auc",
    "evaluation.mean_auc",
    "evaluation.d_prime",
    "evaluation.accuracy",
    "evaluation.confusion_matrix",
    "evaluation.per_class_table",
    "metrics.MeanAveragePrecision",
    "metrics.MeanAUC",
    "metrics.DPrime",
    "embed",
    "hear.load_model",
    "hear.get_scene_embeddings",
    "hear.get_timestamp_embeddings",
]

SOURCE_FOLDERS = ["keras_asit", "tests", "recipes", "benchmarks", "tutorials", "docs"]


def modules():
    """The package's modules as {dotted name below keras_asit: file}."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        parts = parts[:-1] if parts[-1] == "__init__" else parts
        found[".".join(parts)] = file
    return found


def imports(file, package):
    """Every module that a file imports, with its line; `from a import b` gives a.b.

    Args:
        file: Path of a Python file.
        package: Dotted name that relative imports start from.
    """
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join(above if node.level else [])
            base = ".".join(part for part in (base, node.module) if part)
            for alias in node.names:
                yield f"{base}.{alias.name}", node.lineno


def upstream_faults(name, file):
    """The imports of one module that go against the flow of the data."""
    place = DATA_FLOW.index(name.split(".")[0])
    inside = f"keras_asit.{name}"
    is_package = file.name == "__init__.py"
    package = inside if is_package else inside.rpartition(".")[0]
    for imported, line in imports(file, package):
        root, _, rest = imported.partition(".")
        if root != "keras_asit":
            continue
        stage = rest.split(".")[0]
        own_package = stage == name.split(".")[0] and (is_package or "." in name)
        if own_package or stage in DATA_FLOW[:place]:
            continue
        yield f"{file.relative_to(ROOT)}:{line} imports {imported}"


@pytest.mark.backend_free
def test_every_module_has_its_place_in_the_flow():
    stages = {name.split(".")[0] for name in modules() if name}
    assert stages <= set(DATA_FLOW), "give new modules their place in DATA_FLOW"


@pytest.mark.backend_free
def test_modules_import_only_from_earlier_stages():
    faults = [
        fault
        for name, file in modules().items()
        if name.split(".")[0] in DATA_FLOW
        for fault in upstream_faults(name, file)
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.backend_free
def test_nothing_imports_the_insides_of_keras():
    files = [
        file for folder in SOURCE_FOLDERS for file in (ROOT / folder).rglob("*.py")
    ]
    faults = [
        f"{file.relative_to(ROOT)}:{line} imports {imported}"
        for file in files
        for imported, line in imports(file, "")
        if re.match(r"keras\.src\b|tensorflow\.python\b|jax\._src\b", imported)
    ]
    assert not faults, "\n".join(faults)


IMPORT_EVERYTHING = """
import importlib, pkgutil, sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            raise ModuleNotFoundError("tensorflow is blocked in this test")

if sys.argv[1] == "blocked":
    sys.meta_path.insert(0, Refuse())
import keras_asit
for module in pkgutil.walk_packages(keras_asit.__path__, "keras_asit."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
assert "tensorflow" not in sys.modules, "tensorflow was imported"
import keras
assert keras.backend.backend() == "jax"
"""


@pytest.mark.backend_free
@pytest.mark.parametrize("tensorflow", ["blocked", "installed"])
def test_jax_alone_is_enough(tensorflow):
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EVERYTHING, tensorflow],
        env={**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", PUBLIC_NAMES)
def test_public_name_exists(name):
    import keras_asit

    assert functools.reduce(getattr, name.split("."), keras_asit)


@pytest.mark.backend_free
def test_version_has_one_source():
    from keras_asit.version import __version__

    assert importlib.metadata.version("keras-asit") == __version__
    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.mark.backend_free
def test_console_program_is_declared():
    scripts = importlib.metadata.entry_points(group="console_scripts", name="asit")
    assert [script.value for script in scripts] == ["keras_asit.cli:main"]


@pytest.mark.backend_free
@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(
    ("arguments", "backend"),
    [
        ("", "tensorflow"),
        ("--out jax", "tensorflow"),
        ("--out jax --backend torch", "torch"),
        ("--backend=jax --out torch", "jax"),
        ("--backend jax --backend  torch", "torch"),
    ],
)
def test_make_installs_the_backend_that_is_asked_for(arguments, backend):
    printed = subprocess.run(
        ["make", "--dry-run", "--always-make", "quickstart", f"ARGS={arguments}"],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k not in ("BACKEND", "MAKEFLAGS")},
        capture_output=True,
        text=True,
    ).stdout
    assert f"asit quickstart --backend {backend} " in printed
    assert f"'.[{backend},plots]'" in printed


@pytest.mark.backend_free
@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_set_up_is_done_once(tmp_path):
    """What the stamps stand for is installed again only where its list has changed."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "keras_asit").mkdir()
    (tmp_path / "keras_asit" / "version.py").touch()
    (tmp_path / ".venv").mkdir()

    def planned(target):
        command = ["make", "--dry-run", target]
        env = {k: v for k, v in os.environ.items() if k not in ("BACKEND", "MAKEFLAGS")}
        done = subprocess.run(
            command, cwd=tmp_path, env=env, capture_output=True, text=True, check=True
        )
        return done.stdout

    assert " -m venv " in planned("test")
    for stamp in (".created", ".installed-test", ".installed-tensorflow"):
        (tmp_path / ".venv" / stamp).touch()
    for target in ("test", "quickstart"):
        assert "pip install" not in planned(target)
    later = time.time() + 10
    os.utime(tmp_path / "pyproject.toml", (later, later))
    for target in ("test", "quickstart"):
        assert "pip install" in planned(target)
        assert " -m venv " not in planned(target)


@pytest.mark.backend_free
@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_tensorflow_io_has_a_set_of_its_own():
    printed = subprocess.run(
        ["make", "--dry-run", "--always-make", "test-tensorflow-io"],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "MAKEFLAGS"},
        capture_output=True,
        text=True,
    ).stdout
    assert "-c constraints-tensorflow-io.txt -e '.[tensorflow-io,jax]'" in printed
    assert " .venv/" not in printed


@pytest.mark.backend_free
def test_ci_runs_what_the_readme_names():
    run = ROOT / ".ci" / "run"
    assert os.access(run, os.X_OK)
    assert run.read_text().splitlines()[-1] == "exec make test"
    assert "    make test\n" in (ROOT / "README.md").read_text()


def project_files():
    """The text files of the project: the root's own and those of its folders."""
    yield from (file for file in ROOT.iterdir() if file.is_file())
    for folder in [*SOURCE_FOLDERS, ".ci"]:
        for file in (ROOT / folder).rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                yield file


@pytest.mark.backend_free
def test_no_file_names_a_path_of_one_machine():
    here = re.compile(rb"(?<![\w.])/(?:work|tmp|root|home|Users)/\w")
    faults = [
        f"{file.relative_to(ROOT)}: {found.group().decode()}..."
        for file in project_files()
        if (found := here.search(file.read_bytes()))
    ]
    assert not faults, "\n".join(faults)
