"""Miniatures of data sets, each in the layout that is published."""

import csv
import importlib
import json

import numpy as np
import pytest
import soundfile

from keras_asit import presets, training
from keras_asit.data.prepare import AUDIOSET_CLASSES, ESC50_CLASSES
from keras_asit.data.prepare.speech_commands_archives import COMMANDS, WORDS
from recipes.cross_validation_command import TINY_MODEL

RATE = 8000


def write_clip(path, number, seconds=0.55):
    """A tone whose pitch tells the number, in noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * RATE)) / RATE
    noise = np.random.default_rng(number).normal(size=time.size)
    pitch = 200 + 37 * (number % 50)
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * pitch * time) + 0.02 * noise, RATE)


@pytest.fixture(scope="session")
def speech_commands(tmp_path_factory):
    """A function of the version: a folder with both archives, unpacked."""

    def write(version):
        folder = tmp_path_factory.mktemp(f"speech_commands_v{version}")
        train = folder / f"speech_commands_v0.0{version}"
        speakers = {"train": "0a", "validation": "1b", "testing": "2c"}
        for number, word in enumerate(WORDS[version]):
            for speaker in speakers.values():
                write_clip(train / word / f"{speaker}_nohash_0.wav", number)
        for part in ("validation", "testing"):
            names = [f"{w}/{speakers[part]}_nohash_0.wav\n" for w in WORDS[version]]
            (train / f"{part}_list.txt").write_text("".join(names))
        write_clip(train / "_background_noise_" / "hum.wav", 0, seconds=20)
        test = folder / f"speech_commands_test_set_v0.0{version}"
        for number, word in enumerate(COMMANDS):
            write_clip(test / word / "3d_nohash_0.wav", number)
        write_clip(test / "_unknown_" / "bed_3d_nohash_1.wav.wav", 20)
        write_clip(test / "_silence_" / "7.wav", 0)
        return folder

    return write


@pytest.fixture(scope="session")
def audioset(tmp_path_factory):
    """A folder of clips named by YouTube id, beside the official tables."""
    folder = tmp_path_factory.mktemp("audioset")
    with AUDIOSET_CLASSES.open(newline="", encoding="utf-8") as file:
        mids = [row["mid"] for row in csv.DictReader(file)]
    tables = {"balanced_train": 10, "unbalanced_train": 12, "eval": 9}
    for part, (name, clips) in enumerate(tables.items()):
        lines = ["# made by a test", "# YTID, start_seconds, end_seconds, labels"]
        for number in range(clips):
            ytid = f"{name[:8]:_<8}{number:03}"
            write_clip(folder / "audio" / f"{ytid}.wav", 100 * part + number)
            lines.append(f'{ytid}, 30.000, 40.000, "{mids[number]},{mids[number + 5]}"')
        table = folder / f"{name}_segments.csv"
        table.write_text("\n".join([*lines, ""]))
    return folder


@pytest.fixture(scope="session")
def esc50(tmp_path_factory):
    """`meta/esc50.csv` and `audio/`: a clip of each class in each fold."""
    folder = tmp_path_factory.mktemp("esc50")
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for target, name in enumerate(ESC50_CLASSES):
        for fold in range(1, 6):
            file = f"{fold}-{1000 * fold + target}-A-{target}.wav"
            write_clip(folder / "audio" / file, target)
            recording = 1000 * fold + target
            lines.append(f"{file},{fold},{target},{name},False,{recording},A")
    (folder / "meta").mkdir()
    (folder / "meta" / "esc50.csv").write_text("\n".join([*lines, ""]))
    return folder


@pytest.fixture(scope="session")
def tiny_preset(tmp_path_factory):
    """A backbone of `--tiny`'s size, saved."""
    folder = tmp_path_factory.mktemp("presets") / "tiny"
    with training.seeded(0):
        backbone = TINY_MODEL.backbone(TINY_MODEL.frontend(-8.0, 4.0))
    presets.save(backbone, folder, trained_on="nothing, for a test")
    return folder


@pytest.fixture(scope="session")
def manifest_of(speech_commands, audioset, tmp_path_factory):
    """A function of a recipe's name: the path of what its prepare wrote."""
    written = {}

    def path(name):
        if name not in written:
            is_audioset = name.startswith("audioset")
            folder = audioset if is_audioset else speech_commands(int(name[-1]))
            assert (
                importlib.import_module(f"recipes.{name}.prepare").main(
                    ["--data", str(folder)]
                )
                == 0
            )
            written[name] = folder / "manifest.csv"
        return written[name]

    return path


@pytest.fixture
def written_by():
    """A function of the folder of a run: its `results.json`."""
    return lambda out: json.loads((out / "results.json").read_text())
