"""Damaged files, thousands from a seed and some by hand: each is read or refused.

They are read in a process of its own with little memory, as one of them may end it.
"""

import gzip
import io
import json
import os
import re
import socket
import struct
import subprocess
import sys
import zipfile
import zlib
from collections import Counter
from typing import NamedTuple

import numpy as np
import pytest

from drivers import damaged_audio
from keras_asit.audio import AudioError, length, read

if sys.platform != "linux":
    pytest.skip("limits memory as Linux does", allow_module_level=True)

COUNT = 2000
SEED = 20
MEMORY = 192 << 20  # bytes beyond what the imports take
HOURS_BYTES, DAYS_BYTES = 2**31 - 2**24, 2**36  # of sparse files
SUFFIXES = ("wav", "mp3", "flac", "ogg", "opus", "aiff", "au", "raw")
# What libsndfile's mp3 decoder prints, and nothing else may be printed.
MPG123 = re.compile(r"\[src/libmpg123/|Note: |Warning: Xing stream size|\s*$")


class Results(NamedTuple):
    """What `damaged_audio` says of files, by name: `(what happened, why)`."""

    outcomes: dict
    checksums: dict
    peak_mb: int


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What became of each file, by its name: of the thousands, and of those by hand."""
    folder = tmp_path_factory.mktemp("damaged")
    for name, content in by_hand().items():
        (folder / name).write_bytes(content)
    write_sparse_files(folder)
    command = [sys.executable, damaged_audio.__file__, "--memory", str(MEMORY)]
    command += ["--seed", str(SEED), "--count", str(COUNT), "--paths"]
    done = subprocess.run(
        [*command, *sorted(map(str, folder.iterdir()))],
        capture_output=True,
        text=True,
        timeout=250,
        env={**os.environ, "KERAS_BACKEND": "numpy"},
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    names = [os.path.basename(line["name"]) for line in lines if "name" in line]
    assert done.returncode == 0, (
        f"ended by {done.returncode} at {names[-1:]}: {done.stderr[-2000:]}"
    )
    printed = [line for line in done.stderr.splitlines() if not MPG123.match(line)]
    assert not printed
    outcomes = [(line["what"], line["why"]) for line in lines if "what" in line]
    assert len(outcomes) == len(set(names)) == len(names)
    checksums = [line["crc32"] for line in lines if "name" in line]
    return Results(
        dict(zip(names, outcomes)), dict(zip(names, checksums)), lines[-1]["peak_mb"]
    )


def test_thousands_of_damaged_files(results):
    outcomes = results.outcomes
    wrong = {
        name: outcome
        for name, outcome in outcomes.items()
        if outcome[0] not in ("returned", "refused")
    }
    assert not wrong
    assert results.peak_mb < 1024
    # Much is found, in every format; what is no longer wrong, or is a sample like any
    # other, is not.
    happened = {}
    for name, (what, _) in outcomes.items():
        if re.match(r"\d+-", name):
            happened.setdefault(name.split("-")[1], Counter())[what] += 1
    assert sum(kind.total() for kind in happened.values()) == COUNT >= 2000
    assert sum(kind["refused"] for kind in happened.values()) > 0.35 * COUNT
    for name in damaged_audio.COMMON:
        assert happened[name]["returned"] and happened[name]["refused"], name
    for name in ("flac16", "flac24", "vorbis", "vorbis2", "opus"):  # have checksums
        assert happened[name]["refused"] > 3 * happened[name]["returned"], name


def test_a_file_is_known_by_seed_and_number(results):
    """So what is found in another process, on another day, can be made again."""
    for number in range(200):
        name, content = damaged_audio.damaged(SEED, number)
        assert results.checksums[name] == zlib.crc32(content)
    assert damaged_audio.damaged(SEED, 0) != damaged_audio.damaged(SEED + 1, 0)


def chunk(name, content, size=None):
    padding = b"\0" * (len(content) % 2)
    return (
        name
        + struct.pack("<I", len(content) if size is None else size)
        + content
        + padding
    )


def riff(*chunks, size=None):
    return chunk(b"RIFF", b"WAVE" + b"".join(chunks), size)


def fmt(tag=1, channels=1, rate=16000, bits=16, align=None, byte_rate=None):
    align = channels * bits // 8 & 0xFFFF if align is None else align
    byte_rate = rate * align & 0xFFFFFFFF if byte_rate is None else byte_rate
    return chunk(
        b"fmt ", struct.pack("<HHIIHH", tag, channels, rate, byte_rate, align, bits)
    )


NOISE = np.random.default_rng(0).integers(-9000, 9000, 3200).astype("<i2").tobytes()
DATA = chunk(b"data", NOISE)


def floats(*values):
    return riff(fmt(3, bits=32), chunk(b"data", np.array(values, "<f4").tobytes()))


def doubles(*values):
    return riff(fmt(3, bits=64), chunk(b"data", np.array(values, "<f8").tobytes()))


WAV_HEADERS = {  # name: (content, what its refusal says; None: it is read)
    "sound": (riff(fmt(), DATA), None),
    "no channels": (riff(fmt(channels=0), DATA), "damaged"),
    "1000 channels": (riff(fmt(channels=1000), DATA), "1000 channels"),
    "65535 channels": (riff(fmt(channels=65535), DATA), "damaged"),
    "0 Hz": (riff(fmt(rate=0), DATA), "damaged|0 Hz"),
    "1 Hz": (riff(fmt(rate=1), DATA), "1 Hz, expected 1000"),
    "4 GHz": (riff(fmt(rate=4_000_000_000), DATA), "damaged|Hz, expected"),
    "0 bits": (riff(fmt(bits=0), DATA), "damaged"),
    "7 bits": (riff(fmt(bits=7, align=2), DATA), None),
    "65535 bits": (riff(fmt(bits=65535, align=2), DATA), "damaged"),
    "no block align": (riff(fmt(align=0), DATA), ""),
    "block align 65535": (riff(fmt(align=65535), DATA), ""),
    "no fmt": (riff(DATA), "damaged"),
    "no data": (riff(fmt()), "damaged"),
    "empty data": (riff(fmt(), chunk(b"data", b"")), "no audio"),
    "data before fmt": (riff(DATA, fmt()), "damaged"),
    "two fmt": (riff(fmt(), fmt(channels=2), DATA), ""),
    "data of 2 GB": (
        riff(fmt(), chunk(b"data", NOISE, 2**31 - 2**20)),
        "of 2146435072",
    ),
    "data of a pipe": (riff(fmt(), chunk(b"data", NOISE, 2**32 - 1)), None),
    "riff of nothing": (riff(fmt(), DATA, size=0), None),
    "riff of 4 GB": (riff(fmt(), DATA, size=2**32 - 1), None),
    "nested riff": (riff(riff(fmt(), DATA)), "damaged"),
    "riff in data": (riff(fmt(), chunk(b"data", riff(fmt(), DATA))), None),
    "empty chunks": (riff(fmt(), chunk(b"junk", b"") * 20_000, DATA), ""),
    "a chunk of 4 GB": (
        riff(fmt(), chunk(b"LIST", b"INFO", 2**32 - 1), DATA),
        "damaged",
    ),
    "cues of 4 GB": (riff(fmt(), chunk(b"cue ", b"\xff" * 28), DATA), ""),
    "loops of 4 GB": (riff(fmt(), chunk(b"smpl", b"\xff" * 60), DATA), ""),
    "peaks of 4 GB": (riff(fmt(), chunk(b"PEAK", b"\xff" * 16), DATA), ""),
    "cart of 4 GB": (riff(fmt(), chunk(b"cart", b"", 2**32 - 2), DATA), "damaged"),
    "no such encoding": (riff(fmt(tag=0x2000), DATA), "damaged"),
    "nan": (floats(0.1, np.nan, 0.2), "NaN or infinite"),
    "inf": (floats(0.1, np.inf, 0.2), "NaN or infinite"),
    "minus inf": (doubles(0.1, -np.inf), "NaN or infinite"),
    "beyond float32": (doubles(0.1, 1e300), "NaN or infinite"),
    "integers as floats": (floats(0.0, 12000.0, -8000.0), "reach 12000"),
    "denormals": (floats(1e-45, -1e-40, 0.5), None),
    "all there is of a header": (b"RIFF", "is text"),
}


def flac_with(at, content):
    flac = damaged_audio.whole("flac16")
    return flac[:at] + content + flac[at + len(content) :]


def flac_samples(samples):
    old = damaged_audio.whole("flac16")[21]
    return flac_with(21, (old >> 4 << 36 | samples).to_bytes(5, "big"))


def ogg_pages(name):
    return [b"OggS" + page for page in damaged_audio.whole(name).split(b"OggS")[1:]]


OTHER_HEADERS = {  # name: (content, what its refusal says; None: it is read)
    "wrong.md5.flac": (flac_with(26, bytes(range(16))), None),
    "more.flac": (flac_samples(9999), "holds 3200 of 9999"),
    "fewer.flac": (flac_samples(1000), None),
    "gigabytes.flac": (flac_samples(2**36 - 1), "68719476735 samples"),
    "no.blocks.flac": (flac_with(8, bytes(4)), ""),
    "huge.picture.flac": (flac_with(42, b"\x06\xff\xff\xff"), "damaged"),
    "huge.comment.flac": (flac_with(46, b"\xff\xff\xff\xff"), ""),
    "marker.flac": (b"fLaC", "damaged"),
    "pages.cut.ogg": (
        b"".join(page[:-20] for page in ogg_pages("vorbis")),
        "damaged|trunc",
    ),
    "last.page.gone.ogg": (
        b"".join(ogg_pages("vorbis2")[:-1]),
        "no last page|no audio",
    ),
    "headers.gone.ogg": (b"".join(ogg_pages("vorbis")[::2]), "damaged|no audio"),
    "pages.swapped.ogg": (b"".join(ogg_pages("vorbis")[::-1]), "damaged|no last page"),
    "twice.ogg": (2 * damaged_audio.whole("vorbis"), ""),
    "two.codecs.ogg": (damaged_audio.whole("vorbis") + damaged_audio.whole("opus"), ""),
    "headers.only.opus": (b"".join(ogg_pages("opus")[:2]), "no last page|no audio"),
    "tag.of.a.gigabyte.mp3": (
        b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + damaged_audio.whole("cbr"),
        "no mp3",
    ),
    "tag.only.mp3": (damaged_audio.MP3_TAG, "no mp3"),
    "tags.mp3": (b"ID3\x04\0\0\0\0\0\0" * 1000 + damaged_audio.whole("cbr"), ""),
    "header.only.mp3": (b"\xff\xfb\x90\x64", "no mp3"),
    "headers.mp3": (b"\xff\xfb\x90\x64" * 1000, "no mp3"),
    "silent.frames.mp3": ((b"\xff\xfb\x90\x64" + bytes(413)) * 20, ""),
}


def vorbis_without_setup():
    """A seek in it ends the process: libsndfile goes on after such a header."""
    content = bytearray(damaged_audio.whole("vorbis"))
    assert content.count(b"OggS") > 4  # of more than one page is sought
    at = content.index(b"\x05vorbis") + 100
    content[at : at + 4] = b"\xff\xff\xff\xff"
    return bytes(damaged_audio.sign_ogg_pages(content))


OTHER_HEADERS["no.setup.ogg"] = (
    vorbis_without_setup(),
    "truncated: it holds 0 of 40000",
)
BY_HAND = {f"{name}.wav": each for name, each in WAV_HEADERS.items()} | OTHER_HEADERS


def by_hand():
    return {name: content for name, (content, _) in BY_HAND.items()}


@pytest.mark.parametrize("name", [name for name in BY_HAND if BY_HAND[name][1] != ""])
def test_by_hand(results, name):
    what, why = results.outcomes[name]
    expected = BY_HAND[name][1]
    assert what == ("returned" if expected is None else "refused"), why
    assert expected is None or re.search(expected, why), why


def zipped():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.wav", damaged_audio.whole("s16"))
    return file.getvalue()


NOT_AUDIO = {  # what the refusal says: content
    "web page": b"<!DOCTYPE html>\n<html><body>404 Not found</body></html>\n" * 50,
    "web page or XML": b'\xef\xbb\xbf  <?xml version="1.0"?><Error><Code>NoSuchKey',
    "is text": b"label,path\ndog,a.wav\n" * 100,
    "zip archive": zipped(),
    "gzip archive": gzip.compress(damaged_audio.whole("s16")),
    "PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + bytes(range(256)) * 9,
    "picture": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 9,
    "MP4": b"\0\0\0\x20ftypM4A \0\0\2\0M4A mp42isom" + bytes(5000),
    "webm": b"\x1aE\xdf\xa3\x9fB\x86\x81\x01" + bytes(range(256)) * 9,
    "Git LFS": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n",
    "begins with zeros": bytes(20_000),
    "unknown format": bytes(range(200, 256)) * 99,
}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_files_renamed(tmp_path, suffix):
    for expected, content in NOT_AUDIO.items():
        path = tmp_path / f"a.{suffix}"
        path.write_bytes(content)
        for function in (read, length):
            with pytest.raises(AudioError, match=expected):
                function(path)


def test_what_is_not_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "loop.wav").symlink_to(tmp_path / "loop.wav")
    (tmp_path / "dangling.wav").symlink_to(tmp_path / "nothing.wav")
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "a.wav").write_bytes(damaged_audio.whole("s16"))
    (tmp_path / "link.wav").symlink_to(tmp_path / "a.wav")
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(os.path.relpath(tmp_path / "socket.wav"))
    expected = {
        "pipe.wav": "not a regular file",
        "loop.wav": "cannot be opened",
        "dangling.wav": "does not exist",
        "folder.wav": "is a directory",
        "a.wav/b.wav": "cannot be opened",
        "socket.wav": "not a regular file",
        "nul\0.wav": "cannot be opened",
        "n" * 5000: "cannot be opened",
    }
    for name, reason in expected.items():
        with pytest.raises(AudioError, match=reason):
            read(str(tmp_path) + "/" + name)
    listening.close()
    assert len(read(tmp_path / "link.wav")[0]) == 3200


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_without_the_right_to_read(tmp_path):
    (tmp_path / "a.wav").write_bytes(damaged_audio.whole("s16"))
    (tmp_path / "a.wav").chmod(0)
    with pytest.raises(AudioError, match=r"cannot be opened .*rights"):
        read(tmp_path / "a.wav")


def write_sparse_files(folder):
    """Hours of zeros that take no place on a disk."""
    w64 = bytearray(damaged_audio.whole("w64"))
    begin = w64.index(b"data") + 16  # of its size, which counts what is before, too
    w64[begin : begin + 8] = struct.pack("<Q", DAYS_BYTES + 24)
    heads = {
        "hours.wav": (riff(fmt(), chunk(b"data", b"", HOURS_BYTES)), HOURS_BYTES),
        "days.w64": (bytes(w64[: begin + 8]), DAYS_BYTES),
        "zeros.wav": (b"", DAYS_BYTES),
    }
    for name, (head, size) in heads.items():
        with open(folder / name, "wb") as file:
            file.write(head)
            file.truncate(len(head) + size)


def test_sparse_files(results, tmp_path):
    outcomes = results.outcomes
    expected = {
        "hours.wav": "does not fit into memory",
        "days.w64": f"has {DAYS_BYTES // 2} samples .* expected at most 1073741824",
        "zeros.wav": "begins with zeros",
    }
    for name, reason in expected.items():
        assert outcomes[name][0] == "refused"
        assert re.search(reason, outcomes[name][1])
    write_sparse_files(tmp_path)
    part, _ = read(tmp_path / "hours.wav", start=20_000.0, duration=0.1)
    np.testing.assert_array_equal(part, np.zeros(1600))
    assert length(tmp_path / "days.w64") == (DAYS_BYTES // 2, 16000)
