"""Every recipe runs for a moment, on a miniature of its data set's own layout."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from keras_asit import data, presets, training
from recipes.esc10 import prepare, results, train

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
COVERED = {"esc10"}  # each by the tests below that bear its name
PARTS = ["README.md", "config.py", "prepare.py", "train.py"]


def recipe_folders():
    return {file.parent.name for file in RECIPES.glob("*/*") if file.is_file()}


def test_every_recipe_is_covered():
    assert recipe_folders() == COVERED, "a recipe without a test, or a test without one"


@pytest.mark.parametrize("name", sorted(COVERED))
def test_recipe_has_its_parts(name):
    for part in PARTS:
        assert (RECIPES / name / part).is_file(), part
    readme = (RECIPES / name / "README.md").read_text(encoding="utf-8")
    for heading in ("## Data", "## Commands", "## Results"):
        assert heading in readme


# ESC-10. A miniature: ten classes, five folds, one short clip each.

CLASSES = [f"class {number:02}" for number in range(10)]


def write_clip(path, number, rate=8000):
    """A tone whose pitch tells the class, in noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(0.6 * rate)) / rate
    noise = np.random.default_rng(number).normal(size=time.size)
    wave = 0.3 * np.sin(2 * np.pi * (200 + 150 * (number % 10)) * time) + 0.02 * noise
    soundfile.write(path, wave, rate)


def write_esc10(folder):
    """`001 - class 00/1-1000-A.ogg`, as the data set is published."""
    for label, name in enumerate(CLASSES):
        for fold in range(1, 6):
            number = 1000 * fold + label
            path = folder / f"{label + 1:03} - {name}" / f"{fold}-{number}-A.ogg"
            write_clip(path, number)
    return folder


def write_esc50(folder):
    """`meta/esc50.csv` and `audio/`, with a class that is not of ESC-10."""
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for label, name in enumerate([*CLASSES, "other"]):
        for fold in range(1, 6):
            number = 1000 * fold + label
            file, of_esc10 = f"{fold}-{number}-A-{label}.wav", name != "other"
            write_clip(folder / "audio" / file, number)
            lines.append(f"{file},{fold},{label},{name},{of_esc10},{number},A")
    (folder / "meta").mkdir()
    (folder / "meta" / "esc50.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def esc10(tmp_path_factory):
    """The manifest of a miniature."""
    return prepare.prepare(write_esc10(tmp_path_factory.mktemp("esc10")))


@pytest.mark.parametrize("write", [write_esc10, write_esc50])
def test_esc10_prepare_finds_the_clips_and_folds(write, tmp_path, capsys):
    folder = write(tmp_path / "data set")
    assert prepare.main(["--data", str(folder)]) == 0
    manifest = data.read_manifest(capsys.readouterr().out.strip())
    assert len(manifest) == 50
    assert manifest.class_names == CLASSES
    fold = manifest.where(fold="3")
    assert len(fold) == 10
    assert all(Path(path).name.startswith("3-") for path in fold.paths)
    assert all(Path(path).is_file() for path in manifest.paths)


def test_esc10_prepare_uses_the_manifest_of_real_recordings(data_root):
    path = prepare.prepare(data_root / "esc10")
    assert path == data_root / "esc10" / "manifest.csv"
    assert len(data.read_manifest(path)) == 400


def test_esc10_prepare_is_not_misled_by_the_manifest_of_esc50(tmp_path):
    folder = write_esc50(tmp_path)
    assert len(data.read_manifest(data.prepare.esc50(folder)).class_names) == 11
    path = prepare.prepare(folder)
    assert path == folder / "esc10.csv"
    assert data.read_manifest(path).class_names == CLASSES


def test_esc10_prepare_refuses_what_is_not_esc10(tmp_path, capsys):
    assert prepare.main(["--data", str(tmp_path)]) == 2
    assert "001 - Dog bark" in capsys.readouterr().err
    folder = write_esc10(tmp_path / "incomplete")
    for file in folder.glob("004*/*"):
        file.unlink()
    with pytest.raises(ValueError, match="Expected 10 classes and 5 folds"):
        prepare.prepare(folder)


def test_esc10_prepare_leaves_nothing_that_it_refuses(tmp_path, capsys):
    folder = write_esc10(tmp_path)
    write_clip(folder / "001 - class 00" / "2-1000-B.ogg", 0)
    before = sorted(folder.iterdir())
    assert prepare.main(["--data", str(folder)]) == 2
    assert "recording 1000" in capsys.readouterr().err
    assert sorted(folder.iterdir()) == before


def test_esc10_prepare_keeps_a_manifest_of_another_hand(tmp_path):
    folder = write_esc10(tmp_path)
    path = prepare.prepare(folder)
    assert prepare.prepare(folder) == path, "its own"
    own = path.read_text()
    path.write_text(own.replace(",2,", ",1,"))
    with pytest.raises(ValueError, match=r"Expected no .*esc10\.csv.*Move it away"):
        prepare.prepare(folder)
    assert path.read_text() != own


def test_esc10_prepare_names_the_columns_that_are_missing(tmp_path):
    (tmp_path / "meta").mkdir()
    table = "filename,fold,target,category\na.wav,1,0,x\n"
    (tmp_path / "meta" / "esc50.csv").write_text(table)
    with pytest.raises(ValueError, match=r"without \['esc10', 'src_file'\]"):
        prepare.prepare(tmp_path)


def test_esc10_prepare_refuses_a_recording_in_two_folds(tmp_path):
    folder = write_esc10(tmp_path)
    write_clip(folder / "001 - class 00" / "2-1000-B.ogg", 0)
    with pytest.raises(ValueError, match="recording 1000 has clips in the folds"):
        prepare.prepare(folder)


@pytest.fixture
def command(esc10, tmp_path):
    """Arguments for one fold and seed of a tiny run in `tmp_path`."""
    words = f"--data {esc10} --out {tmp_path} --tiny --folds 1 --seeds 0 --labels 2"
    return words.split()


@pytest.mark.large_on_jax
def test_esc10_trains(command, tmp_path):
    assert train.main(command) == 0
    backbone = presets.load(tmp_path / "fold-1" / "seed-0" / "backbone", True)
    assert backbone.num_layers == 1
    written = json.loads((tmp_path / "results.json").read_text())["labels-2"]
    assert set(written["summary"]) == {"floor", "scratch", "pretrained", "gain"}
    for name in ("floor", "scratch", "pretrained"):
        assert 0 <= written["accuracy"][name]["0"]["1"] <= 100
    assert "labels-2, pretrained" in (tmp_path / "results.md").read_text()


@pytest.fixture
def stages_run(monkeypatch):
    """Names of the stages that ran; nothing is trained."""
    ran = []

    def stage(name):
        def run(self, *_):
            ran.append(name)
            return {"accuracy": 50.0, "seconds": 60.0}

        return run

    for name in ("pretrain", "fine_tune", "floor"):
        monkeypatch.setattr(train.FoldRun, f"_{name}", stage(name))
    monkeypatch.setattr(presets, "load", lambda *_, **__: None)
    return ran


def test_esc10_goes_on_where_it_was(command, stages_run, tmp_path, capsys):
    assert train.main([*command, "--initial", "scratch"]) == 0
    assert stages_run == ["floor", "fine_tune"]
    assert train.main(command) == 0
    assert stages_run[2:] == ["pretrain", "fine_tune"]
    assert train.main(command) == 0
    assert train.main([*command, "--labels", "all"]) == 0  # the last one counts
    assert stages_run[4:] == ["floor", "fine_tune", "fine_tune"]

    capsys.readouterr()
    assert train.main([*command, "--labels", "3", "--steps", "3"]) == 2
    assert "another setting of pretraining" in capsys.readouterr().err


def test_esc10_folds_are_looked_up_before_the_first_is_run(command, stages_run, capsys):
    command[command.index("--folds") + 1] = "9"
    assert train.main([*command, "--seeds", "0"]) == 2
    assert "'5']; received ['9']" in capsys.readouterr().err
    assert not stages_run


def test_esc10_results_name_every_command_that_took_part(command, stages_run, tmp_path):
    for more in (["--initial", "scratch"], [], ["--seeds", "0"], ["--labels", "all"]):
        assert train.main([*command, *more]) == 0
    written = json.loads((tmp_path / "results.json").read_text())
    few, every = written["labels-2"]["run"], written["labels-all"]["run"]
    ends = [line.split("--labels 2")[1].strip() for line in few["command"]]
    assert sorted(ends) == ["", "--initial scratch"], "the third command ran no stage"
    assert few["duration"] == every["duration"] == "0 h 04 min"
    assert len(few["commit"]) == len(few["machine"]) == 1
    table = (tmp_path / "results.md").read_text()
    assert all(f"`{line}`" in table for line in (*few["command"], *every["command"]))


def test_esc10_uses_the_training_folds_only(esc10, tmp_path, monkeypatch):
    """For pretraining, for the normalisation and for fine-tuning."""
    seen = {}

    def spy(name):
        def use(*arguments, **_):
            (clips,) = (a for a in arguments if isinstance(a, data.Manifest))
            seen[name] = sorted(Path(path).name for path in clips.paths)
            if name == "normalisation":
                return -8.0, 4.0
            raise InterruptedError(name)

        return use

    for name in ("normalisation", "pretrain"):
        monkeypatch.setattr(training, name, spy(name))
    monkeypatch.setattr(training.FineTuning, "run", spy("fine-tuning"))
    words = ["--data", "", "--out", "", "--tiny", "--labels", "2"]
    plan = train.plan_from(train.parser().parse_args(words))
    run = train.FoldRun(data.read_manifest(esc10), "2", 0, plan, tmp_path, {})
    for name, stage in (
        ("pretrain", run.pretrained),
        ("fine-tuning", lambda: run.score("scratch")),
    ):
        with pytest.raises(InterruptedError, match=name):
            stage()
    assert len(seen["pretrain"]) == 40
    assert len(seen["fine-tuning"]) == 20
    for name, files in seen.items():
        assert {file[0] for file in files} <= {"1", "3", "4", "5"}, name
    assert {Path(path).name[0] for path in run.test.paths} == {"2"}


def test_esc10_broken_clips_are_said_in_one_line(command, monkeypatch, capsys):
    def fail(*_):  # as `tf.errors.InvalidArgumentError` does
        raise RuntimeError(
            "Graph execution error:\nassertion failed: [2 of 8 clips could not be read:"
            "\n a.wav: is empty\nThat is 25.0%, more than the 5.0% that may be passed "
            "over. Mend ...] [[{{node Assert}}]]"
        )

    monkeypatch.setattr(train, "run", fail)
    assert train.main(command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("train: error: 2 of 8 clips could not be read: a.wav")

    def mistake(*_):
        raise TypeError("of the program")

    monkeypatch.setattr(train, "run", mistake)
    with pytest.raises(TypeError):
        train.main(command)


@pytest.mark.parametrize(
    "wrong", ["--labels -3", "--labels 0", "--seeds -1", "--steps 0", "--minutes nan"]
)
def test_esc10_wrong_arguments(command, wrong, capsys):
    with pytest.raises(SystemExit) as end:
        train.main([*command, *wrong.split()])
    assert end.value.code == 2
    assert "expected a" in capsys.readouterr().err


def test_esc10_summary_by_hand():
    scratch = {"0": {"1": 50.0, "2": 60.0}, "1": {"1": 54.0, "2": 64.0}}
    pretrained = {"0": {"1": 60.0, "2": 64.0}, "1": {"1": 58.0}}
    both = results.with_gain({"scratch": scratch, "pretrained": pretrained})
    assert both["gain"] == {"0": {"1": 10.0, "2": 4.0}, "1": {"1": 4.0}}

    summary = results.summary(scratch)  # 55 and 59: deviation 4 / sqrt(2)
    assert summary["mean"] == 57.0
    assert summary["deviation"] == pytest.approx(2.8284, abs=1e-4)
    assert summary["by_fold"] == {"1": 52.0, "2": 62.0}
    assert results.spread(summary) == "57.0 ± 2.8"
    assert results.spread(results.summary({"0": {"1": 50.0}})) == "50.0"


def test_esc10_stage_runs_once(tmp_path):
    calls = []

    def stage(steps=(2, 3), clips=(320, 80), fold=1, seed=0, command="first"):
        """As the recipe's; returns what made it."""

        def run():
            calls.append(1)
            return {"accuracy": 10.0}

        name = f"fold-{fold}/seed-{seed}/labels-2/floor.json"
        pretraining = {"seed": seed, "steps": steps}
        settings = {"clips": clips, "pretraining": pretraining}
        record = results.stage(tmp_path, name, settings, run, {"command": command})
        assert record["accuracy"] == 10.0
        return record["made_by"]["command"]

    assert [stage(), stage(command="second")] == ["first", "first"]
    assert len(calls) == 1
    assert stage(clips=(310, 90), fold=2, seed=1, command="third") == "third"
    for fold in (1, 3):
        with pytest.raises(ValueError, match=r"fold-1.*another setting of pretraining"):
            stage(steps=(2, 4), fold=fold)
    assert len(calls) == 2
