"""Every row of every table runs for a moment."""

import functools
import types

import keras
import numpy as np
import pytest
import soundfile

from keras_asit import training
from keras_asit.data.prepare import AUDIOSET_CLASSES
from keras_asit.models.profiles import resolve
from recipes import cross_validation, results, stages, starts
from recipes.ablations import config, prepare, train
from recipes.cross_validation_command import TINY_PRETRAINING


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Two classes, two folds, four clips each."""
    folder = tmp_path_factory.mktemp("clips")
    lines = ["path,label,fold"]
    for number in range(16):
        label, fold = number % 2, 1 + number // 8
        time = np.arange(4800) / 8000
        wave = 0.3 * np.sin(2 * np.pi * (300 + 900 * label) * time)
        wave += 0.02 * np.random.default_rng(number).normal(size=time.size)
        soundfile.write(folder / f"{number}.wav", wave, 8000)
        lines.append(f"{number}.wav,class {label},{fold}")
    (folder / "manifest.csv").write_text("\n".join(lines) + "\n")
    return folder / "manifest.csv"


@pytest.fixture(scope="module")
def vision(tmp_path_factory):
    """A vision transformer of random weights, as `save_pretrained` writes it."""
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"intermediate_size": 48, "image_size": 32, "patch_size": 16}
    folder = tmp_path_factory.mktemp("vit")
    transformers.ViTModel(transformers.ViTConfig(**sizes)).save_pretrained(folder)
    return folder


def run(manifest, out, table, *more):
    words = f"--table {table} --data {manifest} --out {out} --tiny --held-out 1"
    return train.main([*words.split(), "--seeds", "0", *map(str, more)])


@pytest.fixture
def asked_for(monkeypatch):
    """What pretrainings and fine-tunings are asked for; nothing is trained."""
    asked, saved = {"pretrain": [], "fine_tune": []}, {}

    @functools.wraps(training.pretrain)
    def pretrain(backbone, paths, **options):
        options["folder"].mkdir(parents=True)
        asked["pretrain"].append({"backbone": backbone, "paths": paths, **options})
        return backbone, {}

    def fine_tune(backbone, train, test, protocol, *, folder, **options):
        given = {"backbone": backbone, "train": train, "test": test}
        asked["fine_tune"].append({**given, "protocol": protocol, **options})
        folder.parent.mkdir(parents=True, exist_ok=True)
        return types.SimpleNamespace(
            score=0.5, scores=[], targets=[], epoch=1, indices=[], history={}
        )

    def save(model, folder, trained_on):
        saved[folder] = model

    monkeypatch.setattr(training, "pretrain", pretrain)
    monkeypatch.setattr(training, "fine_tune", fine_tune)
    monkeypatch.setattr(training, "normalisation", lambda *_, seed: (-8.0, 4.0))
    monkeypatch.setattr(training, "adapted", lambda *_: None)
    monkeypatch.setattr(starts.presets, "save", save)
    monkeypatch.setattr(starts.presets, "load", lambda folder, **_: saved[folder])
    probe = lambda *_: {"score": 50.0}  # noqa: E731
    monkeypatch.setattr(cross_validation.HeldOut, "_without_training", probe)
    monkeypatch.setattr(results, "_draw_confusions", lambda *_: None)
    return asked


@pytest.mark.large_on_jax
def test_every_row_of_every_table_is_what_its_name_says(
    manifest, vision, tmp_path, asked_for
):
    """All 31 rows, at the paper's options."""
    for table, rows in config.TABLES.items():
        for made in asked_for.values():
            made.clear()
        more = ["--scale", "paper", "--image-net", vision]
        assert run(manifest, tmp_path, table, *more) == 0
        assert len(asked_for["fine_tune"]) == len(rows)
        pretrainings = iter(asked_for["pretrain"])
        for name, row in rows.items():
            assert f"| {name} | 50.0 |" in (tmp_path / table / "table.md").read_text()
            if row.start == "own":
                check_row(row, next(pretrainings))
        assert not list(pretrainings)


def check_row(row, given):
    """Whether a pretraining is the scale's but for what the row says."""
    wanted = {**config.PAPER_SCALE.pretraining, **TINY_PRETRAINING, **row.options}
    assert {name: given[name] for name in wanted} == wanted
    assert given["budget"].steps == max(1, round(2 * row.steps))
    widths = {"smaller": 16, "base": 64}
    assert given["backbone"].hidden_dim == widths.get(row.size, 32)


@pytest.mark.large_on_jax
def test_image_net_reaches_its_rows_alone(manifest, tmp_path, asked_for, vision):
    """Of one size: that of the vision transformer."""
    more = ["--image-net", vision]
    assert run(manifest, tmp_path, "initialisation", *more) == 0
    pretrained = [given["backbone"] for given in asked_for["pretrain"]]
    tuned = [given["backbone"] for given in asked_for["fine_tune"]]
    assert [tuned[1], tuned[3]] == pretrained
    assert {(b.hidden_dim, b.num_layers, b.mlp_dim) for b in tuned} == {(32, 2, 48)}
    kernels = [keras.ops.convert_to_numpy(b.blocks[0].expand.kernel) for b in tuned]
    same = [[np.array_equal(a, b) for a in kernels] for b in kernels]
    assert same == [
        [True, True, False, False],
        [True, True, False, False],
        [False, False, True, True],
        [False, False, True, True],
    ]
    assert run(manifest, tmp_path, "initialisation", "--rows", "scratch") == 2


def test_audioset_in_the_layout_of_its_prepare(
    manifest_of, audioset, tmp_path, asked_for
):
    words = f"--data {manifest_of('audioset_20k')} --out {tmp_path} --tiny --seeds 0 "
    words += f"--classes {AUDIOSET_CLASSES} --table losses --rows C+R+L+G "
    words += "--scale paper --column split --train-values balanced --held-out eval "
    words += "--pretrain-values balanced unbalanced"
    assert train.main(words.split()) == 0
    [pretraining], [tuning] = asked_for["pretrain"], asked_for["fine_tune"]
    assert len(pretraining["paths"]) == 10 + 12
    assert not any("eval" in path for path in pretraining["paths"])
    assert set(tuning["train"].columns["split"]) == {"balanced"}
    assert set(tuning["test"].columns["split"]) == {"eval"}
    assert len(tuning["class_names"]) == 527 and tuning["test"].is_multi_label
    assert tuning["protocol"].metric == "mean_average_precision"
    table = (tmp_path / "losses" / "table.md").read_text()
    assert "| C+R+L+G | 50.0 |  | held out | eval | 0 |" in table
    assert "labels: original" in table
    assert train.main([*words.split(), "--labels", "enhanced"]) == 2


def test_labels_are_those_of_audioset(manifest, tmp_path, capsys, asked_for):
    assert run(manifest, tmp_path, "losses", "--labels", "original") == 2
    assert "--labels is for the classes of AudioSet" in capsys.readouterr().err


def test_the_paper_scale_rises_as_the_paper_does():
    """Rows 13 and 16 of the specification, in ten epochs of its thirty."""
    words = ["--table", "losses", "--data", "x", "--out", "y", "--scale", "paper"]
    study = train.study_of(config.Row(), train.parser().parse_args(words))
    wanted = {"teacher_temperature": 0.04, "final_teacher_temperature": 0.07}
    wanted |= {"weight_decay": 0.04, "final_weight_decay": 0.4}
    wanted |= {"temperature_steps": 3 * study.steps}
    assert {name: study.pretraining[name] for name in wanted} == wanted


@pytest.mark.large_on_jax
@pytest.mark.parametrize(
    "rows",
    [
        ["ImageNet, self-supervised"],
        pytest.param([*config.TABLES["initialisation"]], marks=pytest.mark.large),
    ],
)
def test_initialisations_run(manifest, vision, tmp_path, rows):
    more = ["--image-net", vision, "--rows", *rows]
    assert run(manifest, tmp_path, "initialisation", *more) == 0
    table = (tmp_path / "initialisation" / "table.md").read_text()
    for row in rows:
        assert f"| {row} |" in table
    assert "python -m recipes.ablations.train --table initialisation" in table


@pytest.mark.large
@pytest.mark.parametrize("table", [t for t in config.TABLES if t != "initialisation"])
def test_every_row_runs(manifest, tmp_path, table):
    assert run(manifest, tmp_path, table) == 0
    rows = [train.slug(name) for name in config.TABLES[table]]
    assert len({*rows}) == len(rows)
    for row in rows:
        assert "own" in stages.read_json(tmp_path / table / row / "results.json"), row


@pytest.mark.large_on_jax
def test_two_rows_of_table_ii_run_and_are_not_run_again(manifest, tmp_path, capsys):
    rows = ["--rows", "R", "C+R+L+G"]
    assert run(manifest, tmp_path, "losses", *rows) == 0
    files = {
        file: file.stat().st_mtime_ns
        for file in tmp_path.glob("losses/*/fold*/*/own.json")
    }
    assert len(files) == 2
    assert run(manifest, tmp_path, "losses", *rows) == 0
    assert files == {file: file.stat().st_mtime_ns for file in files}


def test_rows_differ_in_what_their_names_say():
    """Of the paper's profile, what each row changes; others stay."""
    rows = config.TABLES["losses"]
    weights = ("reconstruction_weight", "local_weight", "global_weight")
    for name, row in rows.items():
        options = resolve("paper", row.options)
        on = {w[0].upper() for w in weights if options[w]}
        assert on == {part for part in name.split("+") if part != "C"}
        assert options["corruption"] is ("C" in name)
    for percent in (10, 90):
        row = config.TABLES["corruption"][f"{percent} %"]
        assert resolve("paper", row.options)["corruption_ratio"] == percent / 100
    assert set(config.PAPER["losses"]) == set(rows)
    assert set(config.PAPER["initialisation"]) == set(config.TABLES["initialisation"])


def test_image_net_rows_need_a_source(manifest, tmp_path, capsys):
    assert run(manifest, tmp_path, "initialisation", "--rows", "ImageNet") == 2
    assert "Give --image-net" in capsys.readouterr().err


def test_unknown_rows_are_refused(manifest, tmp_path, capsys):
    assert run(manifest, tmp_path, "losses", "--rows", "X") == 2
    assert "received ['X']" in capsys.readouterr().err


def test_prepare_tells_what_to_hold_out_by(manifest, capsys):
    assert prepare.main(["--data", str(manifest)]) == 0
    assert capsys.readouterr().out == "--column fold: 2 values, 1 2\n"


def test_prepare_says_that_there_is_nothing_to_hold_out_by(tmp_path, capsys):
    (tmp_path / "manifest.csv").write_text("path,label,split\n1.wav,a,train\n")
    assert prepare.main(["--data", str(tmp_path / "manifest.csv")]) == 2
    assert "has the columns ['split']" in capsys.readouterr().err
