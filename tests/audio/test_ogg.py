import io
import struct

import numpy as np
import pytest
import soundfile

from keras_asit.audio import AudioError, ogg, read


def page(samples, flags=0, sizes=(200, 100), serial=7):
    """A page on which so many samples of the stream have ended."""
    header = struct.pack(
        "<4sBBqIIIB", b"OggS", 0, flags, samples, serial, 0, 0, len(sizes)
    )
    return header + bytes(sizes) + bytes(sum(sizes))


@pytest.mark.parametrize(
    ("content", "ends", "samples"),
    [
        (page(0) + page(1000) + page(1600, flags=4), True, 600),
        (page(0) + page(1000) + page(1600, flags=4) + b"some junk", True, 600),
        (page(0) + page(1000) + page(1600), False, 600),
        (page(1600, flags=6), True, None),
        (page(1000) + b"junk" + page(1600, flags=4), True, None),
        (page(-1) + page(1600, flags=4), True, None),  # a packet that goes on
        (page(2000) + page(1600, flags=4), True, None),
        (page(1000, sizes=[255] * 255) + page(1600, 4, sizes=[255] * 255), True, 600),
        (page(0) + page(1000)[:20], False, None),
        (b"", False, None),
    ],
)
def test_last_pages_by_hand(content, ends, samples):
    last = ogg.last_page(io.BytesIO(content))
    assert (last.ends, last.samples, last.is_of_first) == (ends, samples, True)
    assert last.stop == (1600 if b"\x40\x06" in content else 0)


@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (44100, 2), (8000, 1)])
def test_parts_of_the_last_page(tmp_path, rate, channels):
    """libsndfile alone seeks to other samples there: the page is not full."""
    rng = np.random.default_rng(0)
    path = tmp_path / "a.ogg"
    noise = rng.uniform(-0.3, 0.3, (4 * rate + 123, channels))
    soundfile.write(path, noise, rate)
    whole, _ = read(path)
    with open(path, "rb") as file:
        last = ogg.last_page(file).samples
    firsts = [
        len(whole) - n for n in (1, 2, 100, last - 1, last, last + 1, last + 5000)
    ]
    for first in [*firsts, *rng.integers(0, len(whole), 30)]:
        count = int(rng.integers(1, 2000))
        part, _ = read(path, start=first / rate, duration=count / rate)
        np.testing.assert_array_equal(part, whole[first : first + count])
    with soundfile.SoundFile(path) as file:
        file.seek(len(whole) - 1000)
        alone = file.read(always_2d=True).mean(axis=1)
    if rate != 8000:
        assert np.abs(alone - whole[-1000:]).max() > 0.1  # else our care is idle


@pytest.fixture
def pages(tmp_path):
    """The pages of a file of 5 s, and a function that reads others as a file."""

    def pages(subtype):
        noise = np.random.default_rng(0).uniform(-0.3, 0.3, 5 * 48000)
        soundfile.write(tmp_path / "a.ogg", noise, 48000, subtype=subtype)
        content = (tmp_path / "a.ogg").read_bytes()
        return [b"OggS" + page for page in content.split(b"OggS")[1:]]

    def read_pages(pages):
        (tmp_path / "b.ogg").write_bytes(b"".join(pages))
        return read(tmp_path / "b.ogg")[0]

    return pages, read_pages


def checksum(page):
    """CRC-32 of a page by 0x04c11db7, neither reflected nor inverted: RFC 3533."""
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = crc << 1 ^ (crc >> 31) * 0x104C11DB7
    return crc


def moved(page, samples):
    """A page that ends so many samples later."""
    (stop,) = struct.unpack_from("<q", page, 6)
    page = page[:6] + struct.pack("<q", stop + samples) + page[14:]
    crc = checksum(page[:22] + bytes(4) + page[26:])
    return page[:22] + struct.pack("<I", crc) + page[26:]


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_streams_cut_from_the_middle_of_a_longer_one(pages, tmp_path, subtype):
    """Their first sample is not number 0, as after `ffmpeg -ss 4 -c copy`."""
    pages, read_pages = pages
    whole = pages(subtype)
    assert moved(whole[-1], 0) == whole[-1]
    expected = read_pages(whole)
    sound = next(i for i, page in enumerate(whole) if page[6:14] != bytes(8))
    later = [moved(page, 192_000) for page in whole[sound:]]
    np.testing.assert_array_equal(read_pages([*whole[:sound], *later]), expected)
    for start in (0.0, 1.25):
        part, rate = read(tmp_path / "b.ogg", start=start, duration=0.5)
        first = round(start * rate)
        np.testing.assert_array_equal(part, expected[first : first + len(part)])


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_a_chain_of_streams_is_refused(pages, subtype):
    """libsndfile decodes the first stream alone, and says nothing."""
    pages, read_pages = pages
    first = pages(subtype)
    second = [moved(page[:14] + b"\1\2\3\4" + page[18:], 0) for page in first]
    with pytest.raises(AudioError, match="several streams, one behind the other"):
        read_pages([*first, *second])


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_damage_that_libsndfile_passes_over(pages, subtype):
    pages, read_pages = pages
    whole = pages(subtype)
    assert len(whole) > 5 and len(read_pages(whole)) == 5 * 48000
    with pytest.raises(AudioError, match="no last page, which ends the stream"):
        read_pages(whole[:-1])
    with pytest.raises(AudioError, match="samples that its last page promises"):
        read_pages([*whole[:-1], whole[-1][:-20]])
    flipped = whole[-1][:60] + bytes([whole[-1][60] ^ 1]) + whole[-1][61:]
    with pytest.raises(AudioError, match="samples that its last page promises"):
        read_pages([*whole[:-1], flipped])
    with pytest.raises(AudioError, match="pages of it are missing"):
        read_pages([*whole[:2], *whole[3:]])  # the first one that sounds
    with pytest.raises(AudioError, match="pages of it are missing"):
        read_pages([*whole[:4], *whole[5:]])
    assert len(read_pages([*whole, b"junk" * 99])) == 5 * 48000
