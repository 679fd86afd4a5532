import threading
import warnings

import numpy as np
import pytest
import soundfile

from keras_asit.data.clips import (
    ClipReader,
    TooManyBrokenFiles,
    centre_crop,
    circular_shift,
    fit_length,
    random_crop,
)


def test_reads_at_the_rate_asked_for(write_clips):
    reader = ClipReader(write_clips(2), sample_rate=16000)
    wave = reader.read(0)
    assert wave.dtype == "float32"
    assert wave.shape == (8000,)  # 0.5 s
    assert reader.failures == {}


def test_cache_reads_a_file_once(write_clips):
    paths = write_clips(1)
    plain, cached = ClipReader(paths, 8000), ClipReader(paths, 8000, cache=True)
    assert cached.read(0) is cached.read(0)
    np.testing.assert_array_equal(plain.read(0), cached.read(0))


def test_broken_clips_are_counted_and_reported(write_clips):
    paths = write_clips(12, broken=[1, 3, 5, 7])
    reader = ClipReader(paths, 8000, max_failure_share=0.5)
    assert [reader.read(i) is None for i in range(4)] == [False, True, False, True]
    assert list(reader.failures) == [paths[1], paths[3]]
    with pytest.warns(UserWarning, match="2 of 12 clips could not be read"):
        reader.end_of_epoch()
    with pytest.warns(UserWarning, match="4 of 12"):
        assert reader.readable().tolist() == [0, 2, 4, 6, 8, 9, 10, 11]
    text = reader.describe_failures()
    assert paths[5] in text and paths[7] not in text


def test_the_next_readable_clip_takes_the_place(write_clips):
    reader = ClipReader(write_clips(4, broken=[0, 3]), 8000, max_failure_share=0.5)
    assert reader.read_or_next(3)[1] == 1
    assert reader.read_or_next(2)[1] == 2


def test_more_than_the_share_raises(write_clips):
    reader = ClipReader(write_clips(20, broken=[0, 9]), 8000)
    assert reader.read(0) is None  # 1 of 20 is 5 %, not more
    with pytest.raises(TooManyBrokenFiles, match=r"10.0%, more than the 5.0%"):
        reader.read(9)
    with pytest.raises(TooManyBrokenFiles, match="2 of 20 clips"):
        reader.end_of_epoch()


def test_nothing_readable_raises(write_clips):
    reader = ClipReader(write_clips(3, broken=[0, 1, 2]), 8000, max_failure_share=1.0)
    with pytest.raises(TooManyBrokenFiles, match="3 of 3"):
        reader.read_or_next(1)


def test_a_wrong_folder_is_found_before_the_first_read(tmp_path):
    with pytest.raises(TooManyBrokenFiles, match="does not exist"):
        ClipReader([str(tmp_path / f"{i}.wav") for i in range(100)], 8000)


def test_no_clips_at_all():
    with pytest.raises(ValueError, match=r"at least one clip\. Received: none"):
        ClipReader([], 8000)


def test_every_epoch_reports_its_own_failures(write_clips):
    """With Python's filters as they are: a text that came before is not shown."""
    reader = ClipReader(write_clips(4, broken=[1]), 8000, max_failure_share=0.5)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for index in (1, 1, 0, 1):
            reader.read(index)
            reader.end_of_epoch()
    begins = [str(warning.message).split(" clips")[0] for warning in caught]
    assert begins == [f"epoch {i}: 1 of 4" for i in (1, 2, 4)]


def test_no_failures_no_warning(write_clips):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reader = ClipReader(write_clips(1), 8000)
        reader.end_of_epoch()
    assert not reader.failures


def test_silence_is_audio(tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(800), 8000)
    wave = ClipReader([str(tmp_path / "silence.wav")], 8000).read(0)
    np.testing.assert_array_equal(wave, np.zeros(800))


def test_failures_from_many_threads_count_once(write_clips):
    reader = ClipReader(write_clips(8, broken=[2]), 8000, max_failure_share=0.5)
    work = [
        threading.Thread(target=lambda: [reader.read(i) for i in range(8)])
        for _ in range(4)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert len(reader.failures) == 1


def test_share_out_of_range(write_clips):
    with pytest.raises(ValueError, match="between 0 and 1"):
        ClipReader(write_clips(1), 8000, max_failure_share=5)


def test_circular_shift_rotates_with_its_probability():
    wave, rng = np.arange(50.0), np.random.default_rng(0)
    np.testing.assert_array_equal(circular_shift(wave, rng, 0.0), wave)
    shifted = [circular_shift(wave, rng, 0.5) for _ in range(2000)]
    for rotated in shifted[:20]:
        np.testing.assert_array_equal(np.roll(rotated, int(rotated[0])), wave)
    moved = np.mean([rotated[0] != 0 for rotated in shifted])
    # 0.5 * 49 / 50, within four standard deviations of 2000 draws
    assert abs(moved - 0.49) < 4 * np.sqrt(0.25 / 2000)


def test_random_crop_begins_anywhere():
    rng = np.random.default_rng(0)
    starts = [random_crop(np.arange(10), 7, rng)[0] for _ in range(200)]
    assert set(starts) == {0, 1, 2, 3}
    assert random_crop(np.arange(7), 7, rng).tolist() == list(range(7))


def test_fixed_lengths():
    assert random_crop(np.ones(2), 4, np.random.default_rng(0)).tolist() == [1, 1, 0, 0]
    assert fit_length(np.arange(5), 3).tolist() == [0, 1, 2]
    assert fit_length(np.ones(2), 3).tolist() == [1, 1, 0]
    assert centre_crop(np.arange(6), 2).tolist() == [2, 3]
    assert centre_crop(np.ones(1), 2).tolist() == [1, 0]
