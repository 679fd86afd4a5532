import io
import struct

import numpy as np
import pytest
import soundfile

from keras_asit.audio import AudioError, length, read
from keras_asit.audio.mp3 import LongerFile, Mp3, parse_header

RATE = 44100
DELAY = 1105  # of LAME and of the decoder: what a Xing frame lets mpg123 drop


@pytest.mark.parametrize(
    ("header", "size", "samples"),
    [
        ("fffb9064", 417, 1152),  # MPEG-1 layer III, 128 kbit/s, 44.1 kHz: 144 * br / f
        ("fffb9264", 418, 1152),  # padded
        ("fffbe064", 1044, 1152),  # 320 kbit/s
        ("fffb54c4", 192, 1152),  # 64 kbit/s, 48 kHz, mono
        ("fff388c4", 288, 576),  # MPEG-2, 64 kbit/s, 16 kHz: 72 * br / f
        ("ffe318c4", 72, 576),  # MPEG-2.5, 8 kbit/s, 8 kHz
        ("fffd8404", 384, 1152),  # layer II, 128 kbit/s, 48 kHz
        ("ffff4400", 128, 384),  # layer I, 128 kbit/s, 48 kHz: 4 * (12 * br / f)
    ],
)
def test_frame_sizes_by_hand(header, size, samples):
    assert parse_header(bytes.fromhex(header))[1:] == (size, samples)


@pytest.mark.parametrize(
    "header",
    [
        "fffbf064",  # no such bit rate
        "fffb0064",  # a size of its own
        "fffb9c64",  # no such sample rate
        "ffeb9064",  # no such version
        "fff99064",  # no such layer
        "ff1b9064",
        "00fffb90",
        "fffb90",
        "",
    ],
)
def test_not_a_frame(header):
    assert parse_header(bytes.fromhex(header)) is None


def signal(seconds=4.0, rate=RATE):
    """A loud half and a quiet half, so that bit rates vary."""
    samples = round(seconds * rate)
    noise = np.random.default_rng(0).normal(size=samples)
    noise[samples // 2 :] *= 1e-3
    return np.clip(0.3 * noise, -1, 1)


@pytest.fixture(scope="module")
def mp3(tmp_path_factory):
    """The bytes of an mp3 of constant or variable bit rate: with a Xing frame."""

    def mp3(mode="VARIABLE"):
        path = tmp_path_factory.mktemp("mp3") / "a.mp3"
        soundfile.write(path, signal(), RATE, bitrate_mode=mode, compression_level=0.4)
        return path.read_bytes()

    return {mode: mp3(mode) for mode in ("CONSTANT", "VARIABLE")}


def without_xing(content):
    return content[parse_header(content[:4])[1] :]


def tag(version, size):
    """An ID3v2 tag; its size has 7 bits a byte."""
    digits = bytes(size >> 7 * i & 127 for i in (3, 2, 1, 0))
    return (
        b"ID3" + bytes([version, 0, 0]) + digits + b"\xff\xfb\x90\x64" + bytes(size - 4)
    )


@pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
def test_all_is_read_though_no_header_says_how_much(tmp_path, mp3, mode):
    """libsndfile guesses from the first, loud frame, and would end too early."""
    with_xing, bare = tmp_path / "with.mp3", tmp_path / "bare.mp3"
    with_xing.write_bytes(mp3[mode])
    bare.write_bytes(without_xing(mp3[mode]))
    whole, all_of_it = read(with_xing)[0], read(bare)[0]
    assert length(with_xing) == (len(whole), RATE) == (4 * RATE, RATE)
    assert length(bare) == (len(all_of_it), RATE)
    assert len(all_of_it) % 1152 == 0
    assert len(all_of_it) - 1152 < len(whole) + DELAY < len(all_of_it) + 1152
    if mode == "VARIABLE":
        assert soundfile.info(bare).frames < 0.8 * len(all_of_it)
    # mpg123 keeps what it decoded of the frame of Xing, which sounds for a moment.
    inner = slice(2000, -2000)
    np.testing.assert_allclose(
        all_of_it[DELAY:][: len(whole)][inner], whole[inner], atol=1e-6
    )
    part, _ = read(bare, start=3.0, duration=0.5)
    np.testing.assert_array_equal(part, all_of_it[3 * RATE : 7 * RATE // 2])
    with pytest.raises(AudioError, match=r"ends at 4\.\d+ s, but start=5 s"):
        read(bare, start=5.0)


@pytest.mark.parametrize(
    ("before", "behind"),
    [
        (tag(3, 70_000), b""),
        (tag(4, 300), b"TAG" + bytes(125)),
        (tag(4, 300) + tag(3, 50), b""),
        (b"", b"APETAGEX" + bytes(9000)),
        (bytes(700), b""),
        (b"", b"\0" * 2000),
        (b"", b"some words at the end"),
    ],
)
@pytest.mark.parametrize("bare", [False, True])
def test_tags_and_short_junk_do_not_matter(tmp_path, mp3, before, behind, bare):
    content = without_xing(mp3["VARIABLE"]) if bare else mp3["VARIABLE"]
    plain, decorated = tmp_path / "plain.mp3", tmp_path / "decorated.mp3"
    plain.write_bytes(content)
    decorated.write_bytes(before + content + behind)
    np.testing.assert_array_equal(read(decorated)[0], read(plain)[0])
    assert length(decorated) == length(plain)


@pytest.mark.parametrize("bare", [False, True])
def test_garbage_between_frames(tmp_path, mp3, bare):
    content = without_xing(mp3["CONSTANT"]) if bare else mp3["CONSTANT"]
    size = parse_header(content[:4])[1]
    middle = content.index(content[:3], len(content) // 2)
    garbage = np.random.default_rng(0).bytes(5000)
    path = tmp_path / "a.mp3"
    path.write_bytes(content[:middle] + garbage + content[middle:])
    match = f"is damaged: {5000 + len(content) - middle} bytes .* byte {middle} on"
    with pytest.raises(AudioError, match=match):
        read(path)
    assert size < middle
    assert len(read(path, duration=0.5)[0]) == RATE // 2  # of what lies before it


def test_two_files_in_one(tmp_path, mp3):
    """The header says the length of the first alone."""
    path = tmp_path / "a.mp3"
    path.write_bytes(2 * mp3["CONSTANT"])
    with pytest.raises(
        AudioError, match=r"header says 176400 samples, but it holds 18"
    ):
        read(path)


@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_truncated(tmp_path, mp3, kept):
    whole, path = mp3["VARIABLE"], tmp_path / "a.mp3"
    path.write_bytes(whole[: round(kept * len(whole))])
    with pytest.raises(AudioError, match=r"truncated: it holds \d+ of 176400 samples"):
        read(path)
    bare = without_xing(whole)
    path.write_bytes(bare[: round(kept * len(bare))])
    assert len(read(path)[0]) == length(path)[0]  # all that there is: no word of more


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_are_no_mp3(tmp_path, seed):
    """Though they begin like a frame, and hold more of such beginnings."""
    path = tmp_path / "a.mp3"
    random = np.random.default_rng(seed).bytes(20_000)
    path.write_bytes(b"\xff\xfb\x90\x64" + random)
    with pytest.raises(AudioError, match="no mp3 frames"):
        read(path)


def test_many_tags_are_not_all_passed_over():
    reads = []

    class Stream(io.BytesIO):
        def read(self, size):
            reads.append(size)
            return super().read(size)

    with pytest.raises(AudioError, match="no mp3 frames"):
        Mp3("a.mp3", Stream(b"ID3\x03\0\0\0\0\0\0" * 10_000))
    assert len(reads) < 20


def test_a_longer_file(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    with LongerFile(path, begin=3) as file:
        assert file.tell() == 0
        assert file.seek(0, 2) == file.tell() == 640
        file.seek(-8, 2)
        buffer = bytearray(b"........")
        assert (file.readinto(buffer), buffer) == (8, bytes(8))
        file.seek(5)
        assert (file.readinto(buffer), buffer[:2]) == (2, b"89")
        assert file.readinto(buffer) == 0  # it ends where it ends


def chunk(name, content):
    return name + struct.pack("<I", len(content)) + content


def test_mp3_in_a_wav(tmp_path, mp3):
    """Its header counts the last frames too, which the decoder keeps to itself."""
    frames = without_xing(mp3["CONSTANT"])
    _, size, samples = parse_header(frames[:4])
    own = (0x55, 1, RATE, 16000, 1, 0, 12, 1, 2, size, 1, 0)  # MPEGLAYER3WAVEFORMAT
    header = chunk(b"fmt ", struct.pack("<HHIIHHHHIHHH", *own))
    header += chunk(b"fact", struct.pack("<I", len(frames) // size * samples))
    content = b"WAVE" + header + chunk(b"data", frames[: len(frames) // 2 * 2])
    path = tmp_path / "a.wav"
    path.write_bytes(chunk(b"RIFF", content))
    assert soundfile.info(path).subtype == "MPEG_LAYER_III"
    whole, rate = read(path)
    assert 4 * RATE - 2 * 1152 < len(whole) < length(path)[0]
    part, _ = read(path, start=1.0, duration=0.5)
    np.testing.assert_array_equal(part, whole[rate : rate + len(part)])
