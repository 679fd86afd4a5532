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
    assert (last.ends, last.samples) == (ends, samples)
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
