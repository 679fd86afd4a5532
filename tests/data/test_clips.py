import threading
import warnings

import numpy as np
import pytest
import soundfile

from keras_asit.audio import AudioError
from keras_asit.data import Manifest, clips
from keras_asit.data.clips import (
    AudioFiles,
    ClipReader,
    TooManyBrokenFiles,
    Waveform,
    centre_part,
    fit_length,
    rotated_part,
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
    assert np.shares_memory(cached.read(0), cached.read(0))
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


def test_of_a_long_clip_only_parts_are_decoded(write_clips, monkeypatch):
    decoded, read = [], clips.read

    def counted(*args, **kwargs):
        wave, rate = read(*args, **kwargs)
        decoded.append(len(wave))
        return wave, rate

    monkeypatch.setattr(clips, "read", counted)
    [path] = write_clips(1, seconds=4.0)
    whole = soundfile.read(path, dtype="float32")[0]
    reader = ClipReader([path], 8000)
    part = reader.attempt(0, lambda clip: rotated_part(clip, 31_000, 2000), 2000)
    np.testing.assert_array_equal(part, np.r_[whole[31_000:], whole[:1000]])
    assert decoded == [1000, 1000]
    reader.attempt(0, lambda clip: clip.part(0, 30_000), 30_000)
    assert decoded[2:] == [32_000]  # most of it: at once


def test_of_a_file_that_breaks_off_the_sound_parts_are_given(write_clips, monkeypatch):
    """However a run came there: a restored one has not met the damage."""
    read = clips.read

    def breaks_off(path, *args, start, **kwargs):
        if start < 1.0:
            raise AudioError(path, "breaks off")
        return read(path, *args, start=start, **kwargs)

    monkeypatch.setattr(clips, "read", breaks_off)
    paths = write_clips(3, seconds=4.0)
    reader = ClipReader(paths, 8000, max_failure_share=0.5)
    sound = reader.attempt(1, lambda clip: clip.part(9000, 200), 200)
    for _ in range(2):
        assert reader.attempt(1, lambda clip: clip.part(100, 200), 200) is None
        assert reader.failures == {paths[1]: "breaks off"}
        again = reader.attempt(1, lambda clip: clip.part(9000, 200), 200)
        np.testing.assert_array_equal(again, sound)


def test_clips_in_another_folder_are_the_same_clips(tmp_path):
    def identity(folder, names, **options):
        manifest = Manifest([f"{folder}/{name}" for name in names], **options)
        return AudioFiles(manifest, 8000).identity

    one = identity("/a", ["1.wav", "2.wav"], root="/a")
    assert one == identity("/b/c", ["1.wav", "2.wav"], root="/b/c")
    assert one != identity("/a", ["2.wav", "1.wav"], root="/a")
    assert identity("/a", ["1.wav"]) != identity("/b", ["1.wav"])  # of no folder


def test_a_full_cache_takes_no_more(write_clips, monkeypatch):
    monkeypatch.setattr(clips, "CACHE_BYTES", 10_000)
    reader = ClipReader(write_clips(4), 8000, cache=True)  # 16 kB each
    assert np.shares_memory(reader.read(0), reader.read(0))
    assert not np.shares_memory(reader.read(1), reader.read(1))


def test_links_out_of_the_folder_are_not_opened(tmp_path, write_clips):
    outside = write_clips(1)[0]
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "a.wav").symlink_to(outside)
    manifest = Manifest([str(folder / "a.wav")], root=str(folder), allow_outside=False)
    reader = ClipReader(manifest, 8000, max_failure_share=1.0)
    assert reader.read(0) is None
    assert "lies outside" in reader.failures[manifest.paths[0]]
    manifest.allow_outside = True
    assert ClipReader(manifest, 8000).read(0) is not None


def test_fixed_lengths():
    assert rotated_part(Waveform(np.ones(2)), 1, 4).tolist() == [1, 1, 0, 0]
    assert fit_length(np.arange(5), 3).tolist() == [0, 1, 2]
    assert fit_length(np.ones(2), 3).tolist() == [1, 1, 0]
    assert centre_part(Waveform(np.arange(6)), 2).tolist() == [2, 3]
    assert centre_part(Waveform(np.ones(1)), 2).tolist() == [1, 0]
