from collections import Counter

import numpy as np
import pytest
import soundfile

from keras_asit.data import read_manifest
from keras_asit.data.prepare import speech_commands
from keras_asit.data.prepare.speech_commands_archives import COMMANDS, WORDS

RATE = 500
SPEAKERS = {"train": ("0a", "1b", "2c"), "valid": ("3d",), "test": ("4e",)}
TRAIN, TEST = "speech_commands_v0.0{}", "speech_commands_test_set_v0.0{}"


def clips(version):
    """`{split: [word/clip.wav]}`: two takes of each word by each speaker."""
    return {
        split: [
            f"{word}/{speaker}_nohash_{take}.wav"
            for word in WORDS[version]
            for speaker in speakers
            for take in range(2)
        ]
        for split, speakers in SPEAKERS.items()
    }


@pytest.fixture
def write(touch):
    """A function that makes both archives; of noise there are two real files."""

    def make(version=2):
        train, test = TRAIN.format(version), TEST.format(version)
        names = clips(version)
        touch(*(f"{train}/{name}" for part in names.values() for name in part))
        folder = touch(f"{train}/_background_noise_/README.md")
        for split, name in (("valid", "validation"), ("test", "testing")):
            text = "\n".join([*names[split], ""])
            (folder / train / f"{name}_list.txt").write_text(text)
        for name in ("hum", "tap"):
            wave = np.random.default_rng(1).integers(-99, 99, 20 * RATE, dtype="int16")
            file = folder / train / "_background_noise_" / f"{name}.wav"
            soundfile.write(file, wave, RATE)
        touch(*(f"{test}/{word}/4e_nohash_0.wav" for word in COMMANDS))
        touch(f"{test}/_unknown_/bed_4e_nohash_1.wav.wav", f"{test}/_silence_/7.wav")
        return folder

    return make


@pytest.mark.parametrize("version", [1, 2])
def test_all_words(version, write, rows_of, capsys):
    path = speech_commands(write(version), version)
    rows = rows_of(path)
    expected = {
        f"{TRAIN.format(version)}/{name}": split
        for split, names in clips(version).items()
        for name in names
    }
    assert {name: row[1] for name, row in rows.items()} == expected
    name = f"{TRAIN.format(version)}/sheila/3d_nohash_1.wav"
    assert rows[name] == ("sheila", "valid", "3d", "sheila")
    assert len(read_manifest(path).class_names) == {1: 30, 2: 35}[version]
    assert "officially 51,088" in (told := capsys.readouterr().err) or version == 2
    assert f"{len(expected)} clips: test" in told


def test_the_archive_itself_is_a_folder_too(write, rows_of):
    folder = write() / TRAIN.format(2)
    assert "yes/0a_nohash_0.wav" in rows_of(speech_commands(folder))


def test_twelve_classes(write, rows_of, capsys):
    """Of 60 clips of the ten words, 10 % is 6; of 20 in `valid`, 2."""
    folder = write()
    path = speech_commands(folder, classes=12)
    rows = rows_of(path)
    counts = Counter((split, label) for label, split, *_ in rows.values())
    for split, takes, share in (("train", 6, 6), ("valid", 2, 2), ("test", 1, 1)):
        assert counts.pop((split, "_unknown_")) == share
        assert counts.pop((split, "_silence_")) == share
        for word in COMMANDS:
            assert counts.pop((split, word)) == takes
    assert not counts
    assert len(read_manifest(path).class_names) == 12
    unknown = f"{TEST.format(2)}/_unknown_/bed_4e_nohash_1.wav.wav"
    assert rows[unknown] == ("_unknown_", "test", "4e", "bed")
    assert rows[f"{TEST.format(2)}/up/4e_nohash_0.wav"] == ("up", "test", "4e", "up")
    assert rows[f"{TEST.format(2)}/_silence_/7.wav"] == ("_silence_", "test", "", "")
    for name, (label, split, speaker, word) in rows.items():
        if label == "_unknown_":
            assert word in WORDS[2]
            assert word not in COMMANDS
            assert f"/{word}" in name
        if split != "test" and label != "_silence_":
            assert speaker in SPEAKERS[split]
            assert TEST.format(2) not in name
    told = capsys.readouterr().err
    assert "test has 12 clips, officially 4,890" in told
    assert "training archive: train has 210 clips, officially 84,843" in told


def test_silence_is_written_beside_the_manifest(write, rows_of):
    folder = write()
    path = speech_commands(folder, classes=12, out=folder / "twelve.csv")
    rows = rows_of(path)
    crops = [name for name in rows if name.startswith("twelve_silence/")]
    assert len(crops) == 8
    for name in crops:
        assert soundfile.info(folder / name).frames == RATE
        assert name.split("/")[1] == rows[name][1]
    assert len(list((folder / "twelve_silence").rglob("*.*"))) == 8


def test_the_same_seed_gives_the_same_files(write, problems_of):
    folder = write()
    text = speech_commands(folder, classes=12).read_text()
    assert speech_commands(folder, classes=12).read_text() == text
    before = sorted(folder.rglob("*"))
    (problem,) = problems_of(speech_commands, folder, classes=12, seed=1)
    assert "a file of other contents" in problem
    assert sorted(folder.rglob("*")) == before, "nothing is left of it"
    out = speech_commands(folder, classes=12, seed=1, out=folder / "other.csv")
    for label in ("_unknown_", "_silence_"):
        drawn = [
            {line.split("/", 1)[1] for line in lines.split() if f",{label},tr" in line}
            for lines in (text, out.read_text())
        ]
        assert len(drawn[0]) == len(drawn[1]) == 6
        assert drawn[0] != drawn[1], label
    assert speech_commands(folder, classes=12, seed=1, overwrite=True).exists()


def test_crops_of_another_seed_are_removed(write, touch, rows_of):
    """Of those that were written here, and where a manifest is overwritten."""
    folder = write()
    speech_commands(folder, classes=12)
    touch("manifest_silence/train/mine.flac")
    silence = folder / "manifest_silence"
    for options in ({"classes": 12, "seed": 1}, {}):
        rows = rows_of(speech_commands(folder, **options, overwrite=True))
        listed = {folder / name for name in rows if name.startswith(silence.name)}
        assert set(silence.rglob("*.*")) == listed | {silence / "train" / "mine.flac"}
        assert len(listed) == (8 if options else 0)


def test_unknown_words_as_many_as_wanted(write, rows_of):
    folder = write()
    silence = set()
    for percentage, expected in ((None, (150, 50)), (50, (30, 10)), (0, (0, 0))):
        out = folder / f"{percentage}.csv"
        path = speech_commands(folder, 2, 12, out, unknown_percentage=percentage)
        rows = rows_of(path)
        counts = Counter(row[:2] for row in rows.values())
        got = tuple(counts["_unknown_", split] for split in ("train", "valid"))
        assert got == expected
        crops = (name.removeprefix(f"{percentage}_silence/") for name in rows)
        silence.add(tuple(name for name in crops if name.endswith(".flac")))
    assert len(silence) == 1, "it does not depend on the unknown words"


def test_the_real_test_set(write, data_root, capsys):
    """4,890 clips, as published, with the labels and speakers of the files."""
    folder = write() / TRAIN.format(2)
    real = data_root / "speech_commands_v2_test" / "audio"
    (folder / TEST.format(2)).symlink_to(real)
    path = speech_commands(folder, classes=12)
    assert "speech_commands: test has" not in capsys.readouterr().err
    ours = read_manifest(path, allow_outside=True).where(split="test")
    theirs = read_manifest(data_root / "speech_commands_v2_test")
    names = [path.split("/audio/")[1] for path in theirs.paths]
    row_of = {name: i for i, name in enumerate(names)}
    order = [row_of[path.split(f"/{TEST.format(2)}/")[1]] for path in ours.paths]
    theirs = theirs.take(order)
    assert len(ours) == len(set(order)) == 4890
    assert ours.labels.tolist() == theirs.labels.tolist()
    for name in ("speaker", "word"):
        assert ours.columns[name].tolist() == theirs.columns[name].tolist()


def test_every_problem_is_listed(write, touch, problems_of):
    folder = write()
    train = folder / TRAIN.format(2)
    touch(f"{train}/yes/Yes.wav", f"{train}/no/0a_nohash_0.flac")
    (train / "up" / "3d_nohash_0.wav").unlink()
    with (train / "testing_list.txt").open("a") as file:
        file.write("yes\nup/3d_nohash_1.wav\n")
    problems = problems_of(speech_commands, folder)
    assert sorted(problem.split(": ")[0] for problem in problems) == sorted(
        [
            "no/0a_nohash_0.flac and no/0a_nohash_0.wav are one clip",
            "testing_list.txt line 71",
            "testing_list.txt line 72",
            "validation_list.txt",
            "yes/Yes.wav",
        ]
    )
    assert not (folder / "manifest.csv").exists()


def test_what_is_not_unpacked_is_listed(write, problems_of):
    folder = write()
    train, test = folder / TRAIN.format(2), folder / TEST.format(2)
    (train / "validation_list.txt").unlink()
    for name in (train / "sheila", test / "_silence_"):
        name.rename(folder / name.name)
    (train / "_background_noise_" / "tap.wav").write_text("not audio")
    problems = "\n".join(problems_of(speech_commands, folder, classes=12))
    assert "expected the list validation_list.txt" in problems
    assert "none for ['sheila']" in problems
    assert "expected the folders ['_silence_']" in problems
    assert "_background_noise_/tap.wav: no readable audio" in problems
    assert not list(folder.glob("manifest*"))


def test_the_other_version_is_told(write, problems_of):
    folder = write(2)
    (folder / TRAIN.format(2)).rename(folder / "train")
    (problem,) = problems_of(speech_commands, folder, 1)
    assert "so this is version 2" in problem
    write(1)
    (folder / TRAIN.format(1)).rename(folder / "train 1")
    problems = problems_of(speech_commands, folder / "train 1", 2)
    assert "none for ['backward', 'follow'" in problems[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"version": 3}, "Expected version 1 or 2. Received: 3"),
        ({"version": 1, "classes": 35}, "the 30 words of version 1. Received: 35"),
        ({"unknown_percentage": -1}, "Expected unknown_percentage of 0 or more"),
    ],
)
def test_wrong_arguments(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        speech_commands(tmp_path, **arguments)
