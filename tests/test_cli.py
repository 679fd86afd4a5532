"""What the program `asit` says and returns; what a run does is in quickstart/."""

import inspect
import os
import re
import subprocess
import sys
import types
from pathlib import Path

import keras
import numpy as np
import pytest
import soundfile

from keras_asit import cli, quickstart

ROOT = Path(__file__).resolve().parent.parent
COMMANDS = list(cli.parser()._subparsers._group_actions[0].choices)


@pytest.fixture(autouse=True)
def same_environment(monkeypatch):
    """`main` sets the backend for a process that has none yet."""
    monkeypatch.setenv("KERAS_BACKEND", keras.backend.backend())
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture
def asit(capsys):
    """Runs the program in this process: its exit status and the lines of stderr."""

    def run(*arguments):
        try:
            status = cli.main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = end.code
        return status, capsys.readouterr().err.splitlines()

    return run


@pytest.fixture
def settings_of(monkeypatch, asit):
    """The `Settings` that a command line gives; nothing is run."""

    def settings(*arguments):
        received = []
        monkeypatch.setattr(quickstart, "run", received.append)
        assert asit("quickstart", *arguments) == (0, [])
        return received[0]

    return settings


def write_manifest(
    folder, columns="path,label,split", clips=("train", "train", "test", "test")
):
    rows = [columns]
    for i, split in enumerate(clips):
        wave = np.random.default_rng(i).uniform(-0.5, 0.5, 8000)
        soundfile.write(folder / f"{i}.wav", wave, 8000)
        rows.append(f"{i}.wav,class {i % 2},{split}")
    manifest = folder / "manifest.csv"
    manifest.write_text("\n".join(rows) + "\n")
    return manifest


@pytest.mark.backend_free
@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_that_parses(command, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        cli.main([command, "--help"])
    assert end.value.code == 0
    example = re.search(r"example:\n +asit (.+)", capsys.readouterr().out)
    assert example.group(1).split()[0] == command
    words = example.group(1).split()
    for path in (Path(word) for word in words if "/" in word and word[0] != "-"):
        path.mkdir(parents=True, exist_ok=True)
    cli.parser().parse_args(words)


@pytest.mark.backend_free
def test_help_names_the_commands(capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["--help"])
    assert end.value.code == 0
    assert "quickstart" in capsys.readouterr().out


def test_defaults_of_the_program_are_those_of_the_settings(settings_of):
    assert settings_of() == quickstart.Settings()


def test_arguments_arrive(settings_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("m.csv", "a.csv", "b.csv"):
        Path(name).touch()
    arguments = "--data m.csv --out o --minutes 1.5 --steps 7 --fine-tuning-steps 9"
    more = "--labels 3 --fold 2 --unlabelled a.csv b.csv --seed 4 --filter-decibels 24"
    assert settings_of(*arguments.split(), *more.split()) == quickstart.Settings(
        data="m.csv",
        out="o",
        minutes=1.5,
        pretraining_steps=7,
        labels_per_class=3,
        fold="2",
        unlabelled=("a.csv", "b.csv"),
        seed=4,
        fine_tuning_steps=9,
        filter_decibels=24.0,
    )


def test_labels_all(settings_of):
    assert settings_of("--labels", "all").labels_per_class == 0


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("", "required: command"),
        ("paint", "invalid choice: 'paint'"),
        ("quickstart --colour red", "unrecognized arguments: --colour red"),
        ("quickstart --minutes 0", "expected a number above 0, received '0'"),
        ("quickstart --minutes nan", "expected a number above 0, received 'nan'"),
        ("quickstart --minutes inf", "expected a number above 0, received 'inf'"),
        ("quickstart --minutes few", "expected a number above 0, received 'few'"),
        ("quickstart --filter-decibels -3", "expected a number of 0 or more"),
        ("quickstart --filter-decibels loud", "received 'loud'"),
        ("quickstart --steps 0", "expected a whole number of 1 or more"),
        ("quickstart --steps -3", "expected a whole number of 1 or more"),
        ("quickstart --fine-tuning-steps 0", "expected a whole number of 1 or more"),
        ("quickstart --labels 0", "expected a whole number of 1 or more"),
        ("quickstart --labels some", "received 'some'; or 'all'"),
        ("quickstart --seed -1", "expected a whole number of 0 or more"),
        ("quickstart --data absent.csv", "no such file or folder: absent.csv"),
        ("quickstart --unlabelled absent", "no such file or folder: absent"),
        ("quickstart --backend theano", "invalid choice: 'theano'"),
    ],
)
def test_wrong_arguments(asit, arguments, reason):
    status, (line,) = asit(*arguments.split())
    assert status == 2
    assert reason in line
    assert line.startswith("asit") and line.endswith("--help")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("--data sound.wav", "not a readable CSV"),
        ("--data notes.csv", "expected a column `path`"),
        ("--data list.json", "not a readable JSON"),
        ("--data empty", "expected at least one clip"),
        ("--data unsplit.csv", "needs a column fold"),
        ("--data folds.csv --fold 9", "folds ['1', '2']; received fold '9'"),
        ("--data several.csv", "Expected one label a clip"),
        ("--data manifest.csv --unlabelled empty", "expected at least one clip"),
        ("--data manifest.csv --out notes.csv", "Cannot make the folder notes.csv"),
        ("--data manifest.csv --out notes.csv/run", "Cannot make the folder notes.csv"),
        ("--data gone.csv", "8.wav: none of the clips can be read"),
    ],
)
def test_wrong_input(asit, tmp_path, monkeypatch, arguments, reason):
    monkeypatch.chdir(tmp_path)
    write_manifest(tmp_path)
    Path("sound.wav").write_bytes(Path("0.wav").read_bytes())
    Path("notes.csv").write_text("this is,not\na,manifest\n")
    Path("list.json").write_text("{")
    Path("empty").mkdir()
    Path("unsplit.csv").write_text("path,label\n0.wav,a\n1.wav,b\n")
    Path("folds.csv").write_text("path,label,fold\n0.wav,a,1\n1.wav,b,2\n")
    Path("several.csv").write_text("path,label,split\n0.wav,a;b,train\n1.wav,b,test\n")
    Path("gone.csv").write_text(
        "path,label,split\n8.wav,a,train\n7.wav,b,train\n9.wav,b,test\n"
    )
    status, lines = asit("quickstart", *arguments.split())
    assert status == 2
    assert len(lines) == 1, lines
    assert reason in lines[0]
    assert lines[0].startswith("asit: error: ")


def test_wrong_input_leaves_no_folder(asit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("notes.csv").write_text("this is,not\na,manifest\n")
    asit("quickstart", "--data", "notes.csv", "--out", "run")
    assert list(tmp_path.iterdir()) == [tmp_path / "notes.csv"]


class ErrorOfTFData(Exception):
    """Stands for `tf.errors.InvalidArgumentError`."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("two\n  lines"), "asit: error: two lines"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (
            ModuleNotFoundError("No module named 'jax'", name="jax"),
            "No module named 'jax'; install it: pip install 'keras-asit[jax]', or "
            "choose another that is installed: --backend, or KERAS_BACKEND",
        ),
        (
            ErrorOfTFData(
                "Graph execution error:\nassertion failed: [2 of 8 clips could not be "
                "read:\n a.wav: is empty\nThat is 25.0%, more than the 5.0% that may "
                "be passed over. Mend ...] [[{{node Assert}}]]"
            ),
            "asit: error: 2 of 8 clips could not be read: a.wav: is empty That is "
            "25.0%, more than the 5.0% that may be passed over. Mend or leave out",
        ),
    ],
)
def test_errors_that_the_user_can_mend(asit, monkeypatch, error, said):
    def fail(_):
        raise error

    monkeypatch.setattr(quickstart, "run", fail)
    status, lines = asit("quickstart")
    assert status == 2
    assert len(lines) == 1
    assert said in lines[0]


def test_errors_of_our_own_are_not_hidden(monkeypatch):
    def fail(_):
        raise TypeError("a mistake in the program")

    monkeypatch.setattr(quickstart, "run", fail)
    with pytest.raises(TypeError):
        cli.main(["quickstart"])


def test_interrupted(asit, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(quickstart, "run", interrupt)
    assert asit("quickstart") == (130, ["", "asit: interrupted"])


def test_backend_is_set_before_keras_is_imported(monkeypatch):
    seen = types.SimpleNamespace()
    monkeypatch.setattr(
        quickstart,
        "run",
        lambda _: setattr(seen, "backend", os.environ["KERAS_BACKEND"]),
    )
    cli.main(["quickstart", "--backend", "torch"])
    assert seen.backend == "torch"


@pytest.mark.backend_free
def test_the_program_needs_no_keras_for_its_help():
    script = """
import sys
from keras_asit import cli
try:
    cli.main(["quickstart", "--help"])
except SystemExit:
    pass
assert not {"keras", "tensorflow", "jax"} & set(sys.modules), sys.modules.keys()
"""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", script], check=True, env=environment)


@pytest.fixture
def written(monkeypatch):
    """What `shards.write` is called with; nothing is written."""
    from keras_asit.data import shards
    from keras_asit.data.shards.layout import ShardIndex

    calls = []
    index = ShardIndex(
        sample_rate=32000,
        clips=3,
        seconds=1800.0,
        class_names=["a"],
        multi_label=False,
        shards=[{"name": "a", "clips": 1, "bytes": 10**9}] * 2,
        manifest={"sha256": "", "clips": 4},
        shard_size=10**9,
        seed=0,
    )

    def write(source, out, **options):
        calls.append((source, out, options))
        return index

    monkeypatch.setattr(shards, "write", write)
    return calls


@pytest.mark.backend_free
def test_defaults_of_shards_are_those_of_the_function(asit, written, tmp_path):
    from keras_asit.data.shards.writing import write

    manifest = write_manifest(tmp_path)
    assert asit("shards", manifest, "out") == (0, [])
    ((source, out, options),) = written
    assert (source, out) == (str(manifest), "out")
    parameters = list(inspect.signature(write).parameters.values())
    defaults = {parameter.name: parameter.default for parameter in parameters[2:]}
    assert options == defaults | {"pipeline_options": []}


@pytest.mark.backend_free
def test_options_of_shards_and_of_beam(written, tmp_path, capsys):
    manifest = write_manifest(tmp_path)
    ours = "--shard-size 1GB --sample-rate 16000 --seed 3 --root r --allow-outside"
    of_beam = "--direct_num_workers=2 --label=k=v --runner DirectRunner"
    more = ["--labels", str(manifest), "--max-failure-share", "0.5"]
    more += ["--where", "split=train", "--where", "fold=1", "--where", "fold=2"]
    words = [str(manifest), "out", *ours.split(), *of_beam.split(), *more]
    assert cli.main(["shards", *words]) == 0
    assert written[0][2] == {
        "shard_size": "1GB",
        "sample_rate": 16000,
        "seed": 3,
        "labels": str(manifest),
        "allow_outside": True,
        "root": "r",
        "max_failure_share": 0.5,
        "pipeline_options": of_beam.split(),
        "where": {"split": ["train"], "fold": ["1", "2"]},
    }
    assert "1 could not be read, see failures.csv" in capsys.readouterr().out


@pytest.mark.backend_free
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("--shard-size large", "Expected the size of a shard as 256MB"),
        ("--sample-rate 10", "Expected sample_rate in Hz"),
        ("--shard-sise=1GB", "Received: --shard-sise"),
        ("junk", "Received: junk"),
        ("--direct_num_workers=-1", "Expected --direct_num_workers of 1 or more"),
        ("--where sex=f", "Received: 'sex'"),
    ],
)
def test_wrong_input_of_shards(asit, tmp_path, words, reason):
    pytest.importorskip("apache_beam")
    manifest, out = write_manifest(tmp_path), tmp_path / "out"
    status, lines = asit("shards", manifest, out, *words.split())
    assert (status, len(lines)) == (2, 1)
    assert reason in lines[0] and lines[0].startswith("asit: error: ")
    assert not out.exists()


@pytest.mark.backend_free
def test_conditions_of_shards_are_a_column_and_a_value(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["shards", str(write_manifest(tmp_path)), "out", "--where", "split"])
    assert ended.value.code == 2
    assert "expected COLUMN=VALUE, as split=train" in capsys.readouterr().err
