"""Every format that is promised, against integers by hand or the signal itself."""

import io
import os
import sys
import wave

import numpy as np
import pytest
import soundfile

from keras_asit.audio import length, read

RATE = 16000


def noise(samples=RATE // 4, channels=1, seed=0, loudness=0.2):
    """Coloured noise `[S, channels]` in [-1, 1]: lossy coders keep most of it."""
    white = np.random.default_rng(seed).normal(size=(samples + 7, channels))
    smooth = sum(white[i : samples + i] for i in range(8)) / np.sqrt(8)
    return np.clip(loudness * smooth, -1, 1)


def signal_to_error(signal, decoded):
    """In dB."""
    return 10 * np.log10(np.sum(signal**2) / np.sum((signal - decoded) ** 2))


def integers(bits, samples=500, seed=0):
    """All over the range, with its ends."""
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    drawn = np.random.default_rng(seed).integers(low, high, samples, endpoint=True)
    return np.r_[low, high, 0, -1, 1, drawn]


@pytest.mark.parametrize("bits", [8, 16, 24, 32])
def test_wav_of_integers_by_hand(tmp_path, bits):
    """Written by the standard library; 8 bits are unsigned."""
    values = integers(bits)
    stored = values + 128 if bits == 8 else values
    path = str(tmp_path / "a.wav")
    with wave.open(path, "wb") as file:
        file.setparams((1, bits // 8, 11025, 0, "NONE", ""))
        file.writeframes(
            b"".join(
                int(v).to_bytes(bits // 8, "little", signed=bits > 8) for v in stored
            )
        )
    decoded, rate = read(path)
    assert rate == 11025
    np.testing.assert_array_equal(decoded, (values / 2 ** (bits - 1)).astype("float32"))
    assert length(path) == (len(values), 11025)


@pytest.mark.parametrize("bits", [16, 24])
def test_flac_by_hand(tmp_path, bits):
    values = integers(bits, samples=10_000)
    path = tmp_path / "a.flac"
    aligned = (values << (32 - bits)).astype("int32")
    soundfile.write(path, aligned, 44100, subtype=f"PCM_{bits}")
    decoded, _ = read(path)
    np.testing.assert_array_equal(decoded, values / np.float32(2 ** (bits - 1)))


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_wav_of_floats(tmp_path, subtype):
    values = np.r_[-1.0, 1.0, 0.0, 1e-9, np.random.default_rng(0).uniform(-1, 1, 500)]
    soundfile.write(tmp_path / "a.wav", values, RATE, subtype=subtype)
    np.testing.assert_array_equal(read(tmp_path / "a.wav")[0], values.astype("float32"))


def mu_law(code):
    """ITU-T G.711, table 2a: the value of a code, of 14 bits."""
    code = ~code & 0xFF
    magnitude = (((code & 15) << 1) + 33 << (code >> 4 & 7)) - 33
    return -magnitude if code & 128 else magnitude


def a_law(code):
    """ITU-T G.711, table 1a: the value of a code, of 13 bits."""
    code ^= 0x55
    segment, step = code >> 4 & 7, code & 15
    magnitude = 2 * step + 1 if segment == 0 else 2 * step + 33 << segment - 1
    return magnitude if code & 128 else -magnitude


@pytest.mark.parametrize(
    ("subtype", "expand", "scale"), [("ULAW", mu_law, 8192), ("ALAW", a_law, 4096)]
)
def test_wav_of_telephones(tmp_path, subtype, expand, scale):
    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros(256), 8000, subtype=subtype)
    content = path.read_bytes()
    begin = content.index(b"data") + 8
    path.write_bytes(content[:begin] + bytes(range(256)))
    expected = np.array([expand(code) for code in range(256)]) / scale
    np.testing.assert_array_equal(read(path)[0], expected.astype("float32"))


def test_a_part_of_a_format_without_seeking(tmp_path):
    """GSM 6.10 in a wav is decoded from its beginning."""
    soundfile.write(tmp_path / "a.wav", noise(2 * RATE), RATE, subtype="GSM610")
    assert not soundfile.SoundFile(tmp_path / "a.wav").seekable()
    whole, _ = read(tmp_path / "a.wav")
    part, _ = read(tmp_path / "a.wav", start=1.2345, duration=0.5)
    np.testing.assert_array_equal(part, whole[19_752 : 19_752 + RATE // 2])


LOSSY = [  # name, options, rates
    ("a.ogg", {"subtype": "VORBIS"}, (8000, 22050, 44100, 48000)),
    ("a.opus", {"format": "OGG", "subtype": "OPUS"}, (8000, 16000, 48000)),
    ("a.mp3", {"bitrate_mode": "CONSTANT"}, (8000, 22050, 44100, 48000)),
    ("a.mp3", {"bitrate_mode": "VARIABLE"}, (11025, 16000, 32000, 44100)),
]


@pytest.mark.parametrize(
    ("name", "options", "rate"),
    [(name, options, rate) for name, options, rates in LOSSY for rate in rates],
)
def test_lossy(tmp_path, name, options, rate):
    """The signal comes back, where it was and as loud as it was."""
    samples = rate // 2
    time = np.arange(samples) / rate
    signal = 0.4 * np.sin(2 * np.pi * 440 * time) + 0.2 * np.sin(
        2 * np.pi * 1234 * time
    )
    soundfile.write(tmp_path / name, signal, rate, compression_level=0.1, **options)
    decoded, decoded_rate = read(tmp_path / name)
    assert (len(decoded), decoded_rate) == (samples, rate)
    assert length(tmp_path / name) == (samples, rate)
    inner = slice(rate // 20, -rate // 20)
    assert signal_to_error(signal[inner], decoded[inner]) > 15


@pytest.mark.parametrize(
    ("name", "channels", "options"),
    [("a.wav", c, {"subtype": "PCM_24"}) for c in (1, 2, 3, 6, 8, 16)]
    + [("a.wav", 6, {"format": "WAVEX"})]
    + [("a.flac", c, {"subtype": "PCM_24"}) for c in (1, 2, 5, 8)]
    + [("a.ogg", c, {}) for c in (1, 2, 6, 8)]
    + [("a.ogg", c, {"subtype": "OPUS"}) for c in (1, 2, 6, 8)]
    + [("a.mp3", c, {}) for c in (1, 2)],
)
def test_channels_are_averaged(tmp_path, name, channels, options):
    rate = 48000
    soundfile.write(tmp_path / name, noise(rate // 4, channels), rate, **options)
    decoded, _ = read(tmp_path / name)
    by_channel, _ = soundfile.read(tmp_path / name, always_2d=True)
    assert by_channel.shape == (rate // 4, channels)
    np.testing.assert_allclose(decoded, by_channel.mean(axis=1), atol=1e-6)


@pytest.mark.parametrize("rate", [1000, 8000, 11025, 22050, 44100, 96000, 192000])
@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_rates(tmp_path, name, rate):
    soundfile.write(tmp_path / name, noise(1000), rate, subtype="PCM_16")
    decoded, decoded_rate = read(tmp_path / name)
    assert (len(decoded), decoded_rate) == (1000, rate)
    assert length(tmp_path / name) == (1000, rate)


@pytest.mark.parametrize("name", ["a.WAV", "a.wave", "a.mp3", "ünï çödé.ogg", "a"])
@pytest.mark.parametrize("form", ["wav", "flac", "ogg", "mp3"])
def test_the_content_decides_not_the_name(tmp_path, name, form):
    soundfile.write(tmp_path / f"b.{form}", noise(1000), RATE)
    (tmp_path / f"b.{form}").rename(tmp_path / name)
    assert len(read(tmp_path / name)[0]) == 1000


@pytest.mark.skipif(
    os.name != "posix" or sys.platform == "darwin", reason="Linux names"
)
def test_a_name_that_is_not_unicode(tmp_path):
    soundfile.write(tmp_path / "b.wav", noise(1000), RATE)
    name = os.fsencode(tmp_path) + b"/\xff\xfe.wav"
    os.rename(tmp_path / "b.wav", name)
    assert len(read(os.fsdecode(name))[0]) == 1000
    assert len(read(name)[0]) == 1000


VORBIS = {"subtype": "VORBIS", "compression_level": 0.0}
PARTS = [  # name, options, largest share of the bytes read, largest difference
    ("a.wav", {}, 0.05, 0),
    ("a.flac", {}, 0.05, 0),
    # Ogg files are searched by their pages, up to 300 kB to and fro.
    ("a.ogg", VORBIS, 0.5, 0),
    ("a.ogg", {"subtype": "OPUS", "compression_level": 0.0}, 0.6, 1e-5),
]


@pytest.mark.parametrize(("name", "options", "share", "difference"), PARTS)
def test_of_a_part_only_the_part_is_decoded(
    tmp_path, monkeypatch, name, options, share, difference
):
    rate, seconds = 48000, 20
    path = tmp_path / name
    soundfile.write(path, noise(seconds * rate), rate, **options)
    whole, _ = read(path)
    decoded = count_decoded(monkeypatch)
    for start, duration in ((11.3, 0.5), (19.75, 0.25), (7.123456, 0.01)):
        del decoded[:]
        before = bytes_read()
        part, _ = read(path, start=start, duration=duration)
        if before is not None:
            assert bytes_read() - before < share * path.stat().st_size
        first = round(start * rate)
        ahead = options == VORBIS  # a sample, to see that its headers are good
        assert sum(decoded) == ahead + len(part)
        assert len(part) == round(duration * rate)
        expected = whole[first : first + len(part)]
        np.testing.assert_allclose(part, expected, rtol=0, atol=difference)


def test_of_an_mp3_all_before_the_part_is_decoded(tmp_path, monkeypatch):
    """Its seeking is not exact to the sample; what follows the part is left."""
    soundfile.write(tmp_path / "a.mp3", noise(10 * RATE), RATE)
    whole, _ = read(tmp_path / "a.mp3")
    decoded = count_decoded(monkeypatch)
    part, _ = read(tmp_path / "a.mp3", start=2.5, duration=0.5)
    assert sum(decoded) == 3 * RATE
    np.testing.assert_array_equal(part, whole[5 * RATE // 2 : 3 * RATE])


def count_decoded(monkeypatch):
    """A list that grows by the samples of each block that soundfile decodes."""
    decoded, read_block = [], soundfile.SoundFile.read

    def counted(self, *args, **kwargs):
        block = read_block(self, *args, **kwargs)
        decoded.append(len(block))
        return block

    monkeypatch.setattr(soundfile.SoundFile, "read", counted)
    return decoded


def bytes_read():
    """How many this process has read of files so far, where Linux tells."""
    try:
        with open("/proc/self/io") as file:
            return int(file.readline().split()[1])
    except OSError:
        return None


def test_wav_in_memory_of_another_writer(tmp_path):
    """An odd chunk with padding before the samples, and one behind them."""
    values = integers(16)
    file = io.BytesIO()
    soundfile.write(file, values.astype("int16"), RATE, format="WAV", subtype="PCM_16")
    content = file.getvalue()
    odd = b"LIST\x05\0\0\0INFOx\0"
    data = content.index(b"data")
    (tmp_path / "a.wav").write_bytes(content[:data] + odd + content[data:] + odd)
    np.testing.assert_array_equal(
        read(tmp_path / "a.wav")[0], values / np.float32(32768)
    )
