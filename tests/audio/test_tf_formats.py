import struct

import numpy as np
import pytest
import soundfile

from keras_asit.audio import tf_formats

pytestmark = pytest.mark.backend_free

RATE = 16000


@pytest.fixture(scope="module")
def tf():
    return pytest.importorskip("tensorflow", reason="its graphs need TensorFlow")


@pytest.fixture(scope="module")
def wav(tf):
    return tf.function(tf_formats.wav, [tf.TensorSpec([], tf.string)])


def write(path, samples, **options):
    soundfile.write(path, samples, RATE, **options)
    return path.read_bytes()


def noise(channels=1, samples=1003):
    return np.random.default_rng(0).uniform(-1, 1, (samples, channels))


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize(
    ("subtype", "kind"),
    [
        ("PCM_U8", "WAV"),
        ("PCM_16", "WAV"),
        ("PCM_24", "WAV"),
        ("PCM_32", "WAV"),
        ("FLOAT", "WAV"),
        ("DOUBLE", "WAV"),
        ("PCM_16", "WAVEX"),
        ("FLOAT", "WAVEX"),
    ],
)
def test_wav_has_the_bits_of_soundfile(tmp_path, wav, channels, subtype, kind):
    path = tmp_path / "a.wav"
    data = write(path, noise(channels), subtype=subtype, format=kind)
    samples, rate, is_sound = wav(data)
    expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
    assert is_sound
    assert rate == RATE
    np.testing.assert_array_equal(samples, expected)


def test_wav_is_decoded_eagerly_too(tf, tmp_path):
    data = write(tmp_path / "a.wav", noise())
    samples, _, is_sound = tf_formats.decode_file(tf.constant(str(tmp_path / "a.wav")))
    assert is_sound
    np.testing.assert_array_equal(samples, tf_formats.wav(data)[0])


def test_wav_by_hand(wav):
    """16 bits, two channels, behind a chunk of odd size."""
    values = [0, 1, -32768, 32767, -2, 16384]
    pcm = struct.pack("<6h", *values)
    chunks = b"JUNK" + struct.pack("<I", 3) + b"abc\0"
    chunks += b"fmt " + struct.pack("<IHHIIHH", 16, 1, 2, RATE, 4 * RATE, 4, 16)
    chunks += b"data" + struct.pack("<I", len(pcm)) + pcm
    data = b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks
    samples, _, is_sound = wav(data)
    assert is_sound
    np.testing.assert_array_equal(samples, np.reshape(values, [3, 2]) / 32768)


def test_wav_of_a_stream_is_read_to_its_end(tmp_path, wav):
    data = write(tmp_path / "a.wav", noise())
    data = data[:4] + b"\xff" * 4 + data[8:40] + b"\xff" * 4 + data[44:]
    samples, _, is_sound = wav(data)
    assert is_sound
    assert len(samples) == 1003


@pytest.mark.parametrize(
    ("at", "content"),
    [
        (8, b"AVI "),
        (20, b"\x06"),  # A-law
        (22, b"\0\0"),  # no channels
        (22, b"\xff\xff"),
        (24, b"\1\0\0\0"),  # 1 Hz
        (32, b"\0\0"),  # with these two the op of tensorflow-io ends the process,
        (32, b"\x40\0"),
        (34, b"\x0c"),  # 12 bits
        (40, b"\xf8\xff\xff\x7e"),  # more than there is
        (16, b"\xf8\xff\xff\xff"),  # and with a chunk of negative size it never ends
        (36, b"tada"),  # no data
    ],
)
def test_damaged_wav(tmp_path, wav, at, content):
    data = write(tmp_path / "a.wav", noise())
    samples, _, is_sound = wav(data[:at] + content + data[at + len(content) :])
    assert not is_sound
    assert samples.shape == (0, 1)


@pytest.mark.parametrize("size", [0, 3, 11, 20, 40, 44, 700])
def test_cut_wav(tmp_path, wav, size):
    assert not wav(write(tmp_path / "a.wav", noise())[:size])[2]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_silent_frames_of_flac_are_counted(tf, tmp_path, channels, subtype):
    """Block by block what the encoder wrote as silence, the last one shorter."""
    samples = noise(channels, 6 * 4096 + 100)
    for block in (1, 2, 4, 6):
        samples[4096 * block : 4096 * (block + 1)] = 0
    data = write(tmp_path / "a.flac", samples, subtype=subtype)
    bits = int(subtype[4:])
    zeros = tf.constant(channels * (8 + bits) // 8, tf.int64)
    framed = data + tf_formats.LAST_FRAMES
    assert tf_formats._count_silent_frames(framed, zeros) == 4
    block = tf.constant(4096, tf.int64)
    samples = tf.cast(samples, tf.float32)
    assert tf_formats._count_silent_blocks(samples, block) == 4


def test_last_frames_have_their_checksums():
    """As libFLAC asks: of the header by x^8 + x^2 + x + 1, of all by 0x8005."""

    def checksum(content, polynomial, bits):
        register = 0
        for byte in content:
            register ^= byte << bits - 8
            for _ in range(8):
                register = register << 1 ^ (polynomial if register >> bits - 1 else 0)
        return register

    frame = tf_formats.LAST_FRAMES[:16]
    assert frame * (len(tf_formats.LAST_FRAMES) // 16) == tf_formats.LAST_FRAMES
    assert checksum(frame[:12], 0x107, 8) == 0
    assert checksum(frame, 0x18005, 16) == 0
