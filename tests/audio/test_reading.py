import pickle
import struct
import tracemalloc

import numpy as np
import pytest
import soundfile

from keras_asit.audio import AudioError, length, read

RATE = 16000


def tone(seconds=1.0, hertz=440.0, rate=RATE):
    time = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hertz * time)).astype("float32")


@pytest.fixture
def write(tmp_path):
    """Writes samples or raw bytes to a file of that name and returns its path."""

    def write(name, content, rate=RATE, **options):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            soundfile.write(path, content, rate, **options)
        return path

    return write


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("a.wav", 1e-4), ("a.flac", 1e-4), ("a.ogg", 0.05), ("a.mp3", 0.05)],
)
def test_formats(write, name, tolerance):
    waveform, rate = read(write(name, tone()))
    assert rate == RATE
    assert waveform.dtype == np.float32
    np.testing.assert_allclose(waveform, tone(), atol=tolerance)


def test_stereo_is_averaged(write):
    stereo = np.stack([tone(), 0.5 * tone(hertz=1000.0)], axis=1)
    waveform, _ = read(write("stereo.wav", stereo, subtype="FLOAT"))
    np.testing.assert_allclose(waveform, stereo.mean(axis=1), atol=1e-7)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_part_is_a_slice_of_the_whole(write, name):
    # Longer than a block, so that the parts begin and end in different blocks.
    path = write(name, tone(seconds=70.0) + 0.1 * tone(seconds=70.0, hertz=3000.0))
    whole, _ = read(path)
    for start, duration in ((0.0, 0.5), (0.7715625, 1.5), (64.9, 2.0), (69.5, None)):
        part, _ = read(path, start=start, duration=duration)
        first = round(start * RATE)
        stop = None if duration is None else first + round(duration * RATE)
        assert len(part) == len(whole[first:stop])
        np.testing.assert_allclose(part, whole[first:stop], atol=1e-6)


def test_part_beyond_the_end_is_shorter(write):
    waveform, _ = read(write("a.wav", tone()), start=0.75, duration=6.0)
    assert len(waveform) == RATE // 4


@pytest.mark.parametrize("sample_rate", [8000, 32000, 44100])
def test_resampled_tone(write, sample_rate):
    waveform, rate = read(write("a.wav", tone()), sample_rate=sample_rate)
    assert rate == sample_rate
    assert waveform.dtype == np.float32
    assert len(waveform) == sample_rate
    edge = sample_rate // 50
    expected = tone(rate=sample_rate)
    np.testing.assert_allclose(waveform[edge:-edge], expected[edge:-edge], atol=1e-3)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_a_part_in_samples(write, name):
    """A part drawn in samples comes back to the sample."""
    path = write(name, tone(rate=44100) + 0.1 * tone(hertz=3000.0, rate=44100), 44100)
    whole, rate = read(path)
    assert length(path) == (len(whole), rate) == (44100, 44100)
    for first, count in ((0, 1), (1, 2), (12_345, 6789), (44_099, 1), (44_000, 100)):
        part, _ = read(path, start=first / rate, duration=count / rate)
        np.testing.assert_array_equal(part, whole[first : first + count])


def test_a_whole_number_of_hertz_of_any_type(write):
    path = write("a.wav", tone())
    for sample_rate in (8000, 8000.0, np.int64(8000)):
        waveform, rate = read(path, sample_rate)
        assert (len(waveform), rate, type(rate)) == (8000, 8000, int)


def test_silence_passes(write):
    waveform, _ = read(write("a.wav", np.zeros(RATE)), sample_rate=8000)
    np.testing.assert_array_equal(waveform, np.zeros(8000))


def test_overshoot_is_clipped(write):
    waveform, _ = read(write("a.wav", 3.0 * tone(), subtype="FLOAT"))
    np.testing.assert_allclose(waveform, np.clip(3.0 * tone(), -1, 1), atol=1e-6)


def with_sample_rate(content, rate):
    return content[:24] + struct.pack("<I", rate) + content[28:]


def with_wav_bytes(content, size):
    return content[:40] + struct.pack("<I", size) + content[44:]


def with_flac_samples(content, samples):
    total = ((content[21] >> 4) << 36 | samples).to_bytes(5, "big")
    return content[:21] + total + content[26:]


def test_streamed_headers_without_a_length_are_read(write):
    wav = write("a.wav", tone()).read_bytes()
    flac = write("a.flac", tone()).read_bytes()
    for name, content in (
        ("pipe.wav", with_wav_bytes(wav, 0xFFFFFFFF)),
        ("pipe.flac", with_flac_samples(flac, 0)),
    ):
        path = write(name, content)
        assert len(read(path)[0]) == RATE
        assert len(read(path, start=0.5)[0]) == RATE // 2


def test_header_that_claims_gigabytes_takes_no_memory(write):
    flac = write("a.flac", tone()).read_bytes()
    path = write("huge.flac", with_flac_samples(flac, 2**36 - 1))
    tracemalloc.start()
    with pytest.raises(
        AudioError, match=r"68719476735 samples .* leave it out if it ca"
    ):
        read(path)
    with pytest.raises(AudioError, match="truncated: it holds 16000 of 32000 samples"):
        read(path, duration=2.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**25
    assert len(read(path, duration=0.5)[0]) == RATE // 2


@pytest.mark.parametrize(
    "name",
    ["a.wav", "a.flac", "a.mp3", "a.ogg", "a.aiff", "a.au", "a.caf", "a.rf64", "a.w64"],
)
def test_truncated(write, name):
    rng = np.random.default_rng(0)
    whole = write(name, 0.1 * rng.normal(size=5 * RATE)).read_bytes()
    path = write("cut-" + name, whole[: len(whole) * 6 // 10])
    with pytest.raises(AudioError, match=r"truncated|damaged"):
        read(path)


def test_truncation_says_how_much_is_there(write):
    whole = write("a.wav", tone()).read_bytes()
    with pytest.raises(AudioError, match=r"holds 9956 of 32000 bytes .* Fetch it"):
        read(write("cut.wav", whole[:10000]))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.wav", b"", "empty \\(0 bytes\\)"),
        ("text.wav", b"not a sound " * 100, "is text, not wav, flac"),
        ("text.mp3", b"not a sound " * 100, "is text, not wav, flac"),
        ("text.raw", b"not a sound " * 100, "is text, not wav, flac"),
        ("broken.wav", b"RIFF\x24\0\0\0WAVE" * 9, "not audio, or damaged \\(Error in"),
        ("none.wav", np.zeros(0), "no audio \\(0 samples\\)"),
        ("none.ogg", np.zeros(0), "no audio \\(0 samples\\)"),
        ("nan.wav", np.array([0.0, np.nan, 0.0]), "NaN or infinite"),
        ("infinite.wav", np.array([0.0, -np.inf, 0.0]), "NaN or infinite"),
        ("loud.wav", np.array([0.0, 32767.0, 0.0]), "reach 32767, .*32768"),
    ],
)
def test_bad_file(write, name, content, message):
    floats = {"nan.wav": "FLOAT", "infinite.wav": "FLOAT", "loud.wav": "DOUBLE"}
    path = write(name, content, subtype=floats.get(name))
    with pytest.raises(AudioError, match=message) as caught:
        read(path)
    assert caught.value.path == str(path)
    assert str(caught.value) == f"{path}: {caught.value.reason}"


@pytest.mark.parametrize("rate", [0, 1, 999, 2_000_000, 4_000_000_000])
def test_impossible_rate(write, rate):
    content = write("a.wav", tone()).read_bytes()
    with pytest.raises(AudioError, match=r"Hz, expected|damaged"):
        read(write("rate.wav", with_sample_rate(content, rate)))


def test_too_many_channels(write):
    path = write("a.wav", np.zeros((10, 129)))
    for function in (read, length):
        with pytest.raises(AudioError, match="129 channels, expected at most 128"):
            function(path)


def test_a_wav_that_is_named_raw(write, tmp_path):
    write("a.wav", tone()).rename(tmp_path / "a.raw")
    with pytest.raises(AudioError, match=r"named .raw, .* Rename"):
        read(tmp_path / "a.raw")


def test_length_refuses_what_the_header_tells(write):
    wav = write("a.wav", tone()).read_bytes()
    flac = write("a.flac", tone()).read_bytes()
    assert length(write("b.flac", with_flac_samples(flac, 0))) == (None, RATE)
    assert length(write("b.flac", with_flac_samples(flac, 99))) == (99, RATE)
    assert length(write("pipe.wav", with_wav_bytes(wav, 0xFFFFFFFF))) == (RATE, RATE)
    for content, message in (
        (wav[:10000], "holds 9956 of 32000 bytes"),
        (with_sample_rate(wav, 1), "1 Hz, expected"),
        (b"", "is empty"),
        (b"not a sound " * 100, "is text"),
    ):
        with pytest.raises(AudioError, match=message):
            length(write("bad.wav", content))


def test_missing_and_directory(tmp_path):
    with pytest.raises(AudioError, match=r"missing\.wav: does not exist"):
        read(tmp_path / "missing.wav")
    with pytest.raises(AudioError, match="is a directory"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
def test_start_beyond_the_end(write, name):
    path = write(name, tone())
    with pytest.raises(AudioError, match="ends at 1 s, but start=1 s"):
        read(path, start=1.0)


@pytest.mark.parametrize(
    "arguments",
    [
        {"start": -0.1},
        {"start": float("nan")},
        {"duration": 0.0},
        {"duration": -1.0},
        {"sample_rate": 0},
        {"sample_rate": -16000},
        {"sample_rate": 16000.5},
        {"start": 1e300},
        {"duration": float("inf")},
    ],
)
def test_bad_arguments(write, arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"`{name}` must be .*Received") as caught:
        read(write("a.wav", tone()), **arguments)
    assert not isinstance(caught.value, AudioError)


def test_error_survives_a_worker_process():
    error = pickle.loads(pickle.dumps(AudioError("a.wav", "is empty.")))
    assert (error.path, error.reason) == ("a.wav", "is empty.")
    assert str(error) == "a.wav: is empty."
