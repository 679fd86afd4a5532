"""Every row of every table runs for a moment."""

import numpy as np
import pytest
import soundfile

from keras_asit.models.profiles import resolve
from recipes import stages
from recipes.ablations import config, prepare, train


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
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 128, "image_size": 32, "patch_size": 16}
    folder = tmp_path_factory.mktemp("vit")
    transformers.ViTModel(transformers.ViTConfig(**sizes)).save_pretrained(folder)
    return folder


def run(manifest, out, table, *more):
    words = f"--table {table} --data {manifest} --out {out} --tiny --held-out 1"
    return train.main([*words.split(), "--seeds", "0", *map(str, more)])


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
