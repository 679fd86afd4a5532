import pytest

from keras_asit.data.prepare import speech_commands_archives as archives


def find(folder, version=2, with_test_set=True):
    problems = []
    found = archives.find_archives(folder, version, with_test_set, problems)
    below = [f and f.relative_to(folder).as_posix() for f in found]
    return (*below, problems)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("speech_commands_v0.02", "speech_commands_test_set_v0.02"),
        ("data/SpeechCommands", "data/test"),
        (".", "test_set"),
    ],
)
def test_both_are_found_wherever_they_are(train, test, touch):
    folder = touch(f"{train}/_background_noise_/a.wav", f"{test}/_unknown_/a.wav")
    touch(f"{train}/yes/a.wav", f"{test}/_silence_/1.wav")
    assert find(folder) == (train, test, [])
    assert find(folder, with_test_set=False) == (train, None, [])


def test_of_two_versions_the_wanted_one_is_taken(touch):
    names = [
        f"speech_commands{part}_v0.0{v}" for v in (1, 2) for part in ("", "_test_set")
    ]
    for name in names:
        touch(
            f"{name}/_unknown_/1.wav" if "test" in name else f"{name}/testing_list.txt"
        )
    folder = touch(*(f"{name}/_background_noise_/a.wav" for name in names[::2]))
    assert find(folder, 1) == (*names[:2], [])
    assert find(folder, 2) == (*names[2:], [])


def test_what_is_missing_or_there_twice_is_told(touch, tmp_path):
    train, test, problems = find(tmp_path)
    assert (train, test) == (None, None)
    assert "expected the training data" in problems[0]
    assert "expected the official test set" in problems[1]
    folder = touch("a/testing_list.txt", "b/testing_list.txt", "a/_unknown_/1.wav")
    assert "found it in" in find(folder)[2][0]
    touch("v0.01/_silence_/1.wav", "v0.01/_background_noise_/a.wav")
    assert len(find(folder / "v0.01", 2)[2]) == 2, "the other version is none"
    train, _, problems = find(folder / "a", with_test_set=True)
    assert problems == ["a: expected the folder _background_noise_"]
