import pytest

from keras_asit.data.prepare import voxceleb1

CLIPS = {
    "id10001/1zcIwhmdeo4/00001": "1",
    "id10001/1zcIwhmdeo4/00002": "3",
    "id10270/_-xyz012345/00001": "2",
}


def write_list(folder, lines=None):
    lines = lines or [f"{split} {clip}.wav" for clip, split in CLIPS.items()]
    (folder / "iden_split.txt").write_text("\n".join([*lines, ""]))


@pytest.mark.parametrize(
    "places", [("wav", "wav"), ("vox1_dev_wav/wav", "vox1_test_wav/wav"), ("", "")]
)
def test_clips_and_the_official_split(places, touch, rows_of, capsys):
    dev, test = (f"{place}/" if place else "" for place in places)
    first, second, third = CLIPS
    folder = touch(f"{dev}{first}.wav", f"{dev}{second}.flac", f"{test}{third}.wav")
    write_list(folder)
    assert rows_of(voxceleb1(folder)) == {
        f"{dev}{first}.wav": ("id10001", "train", "id10001", "1zcIwhmdeo4", "dev"),
        f"{dev}{second}.flac": ("id10001", "test", "id10001", "1zcIwhmdeo4", "dev"),
        f"{test}{third}.wav": ("id10270", "valid", "id10270", "_-xyz012345", "test"),
    }
    told = capsys.readouterr().err
    assert "train has 1 clips, officially 138,361" in told
    assert "2 speakers, officially 1,251" in told
    assert "voxceleb1, verification: dev has 2 clips, officially 148,642" in told


def test_without_the_list_for_identification(touch, rows_of, capsys):
    """The speakers alone say which clips are for verification: id10270 to id10309."""
    speakers = {
        "id10269": "dev",
        "id10270": "test",
        "id10309": "test",
        "id10310": "dev",
    }
    clips = {f"wav/{speaker}/1zcIwhmdeo4/00001.wav": speaker for speaker in speakers}
    rows = rows_of(voxceleb1(touch(*clips, "wav/noise.wav")))
    assert rows == {
        clip: (speaker, speaker, "1zcIwhmdeo4", speakers[speaker])
        for clip, speaker in clips.items()
    }
    told = capsys.readouterr().err
    assert "without iden_split.txt there is no split for identification" in told
    assert "audio files that are not named as clips: 1 (wav/noise.wav)" in told


@pytest.mark.parametrize("name", ["veri_test.txt", "veri_test2.txt"])
def test_the_clips_of_the_trials_are_there(name, touch, rows_of, problems_of):
    first, second, third = CLIPS
    folder = touch(f"wav/{first}.wav", f"wav/{third}.wav")
    (folder / name).write_text(
        f"1 {first}.wav {third}.wav\n0 {third}.wav {first}.wav\n"
    )
    assert len(rows_of(voxceleb1(folder))) == 2
    (folder / name).write_text(f"1 {first}.wav {second}.wav\n2 {first}.wav\n")
    problems = problems_of(voxceleb1, folder)
    assert f"{name} line 2: expected a line such as '1 id10270/" in problems[0]
    assert "1 of 2 clips are not on disk" in problems[1]
    assert problems[2:] == [f"{second}.wav"]


def test_files_without_a_line_are_told(touch, rows_of, capsys):
    folder = touch(*(f"wav/{clip}.wav" for clip in CLIPS), "wav/id19999/x/1.wav")
    touch(f"copy/{next(iter(CLIPS))}.wav", "veri_test.txt")
    write_list(folder)
    rows = rows_of(voxceleb1(folder))
    assert len(rows) == 3
    told = capsys.readouterr().err
    assert "second files of a clip, left out: 1 (wav/id10001/" in told
    assert "files without a line in iden_split.txt: 1 (wav/id19999/x/1.wav)" in told


def test_every_problem_is_listed(touch, tmp_path, problems_of):
    assert "expected iden_split.txt" in problems_of(voxceleb1, tmp_path)[0]
    first, second, third = CLIPS
    folder = touch(f"wav/{first}.wav")
    wrong = ["4 id10001/1zcIwhmdeo4/00001.wav", "1 ../../secret.wav", "1"]
    right = [f"1 {first}.wav", f"1 {first}.wav", f"1 {second}.wav", f"3 {third}.wav"]
    write_list(folder, [*wrong, *right])
    problems = problems_of(voxceleb1, folder)
    assert [p.split(":")[0] for p in problems[:4]] == [
        f"iden_split.txt line {i}" for i in (1, 2, 3, 5)
    ]
    assert "2 of 3 clips are not on disk" in problems[4]
    assert problems[5:] == [f"{second}.wav", f"{third}.wav"]


def test_a_list_that_is_none(touch, problems_of):
    folder = touch("wav/id10001/1zcIwhmdeo4/00001.wav", "iden_split.txt")
    assert "found none" in problems_of(voxceleb1, folder)[0]
    (folder / "iden_split.txt").write_bytes(b"\xff\xfe\x00")
    assert "not a readable text file" in problems_of(voxceleb1, folder)[0]
