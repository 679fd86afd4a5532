"""Damaged audio files from a seed, and a worker that tries to read them.

    python tests/drivers/damaged_audio.py --seed 7 --count 50000

prints a line of JSON for each file. It runs in a process of its own, because what it
looks for may end a process: a crash, a hang, or memory that runs out. A file is known
by its seed and number alone.
"""

import argparse
import contextlib
import functools
import io
import json
import os
import resource
import signal
import struct
import tempfile
import time
import zlib

import numpy as np
import soundfile

SECONDS = 0.2
SECONDS_IN_PAGES = {"vorbis": 2.5, "opus": 1.2}  # so long that it is sought in them
MAX_SAMPLES = 20_000_000  # what the longest of these files can rightly hold
MP3_SLACK = 2304  # an mp3 may lack two frames of what it promises
TIME_LIMIT = 60  # seconds for one file; most take a millisecond
EXTREMES = (0, 1, 2, 7, 255, 1000, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1)
FORMATS = {  # name: (suffix, rate, channels, options of soundfile)
    "u8": ("wav", 8000, 1, {"subtype": "PCM_U8"}),
    "s16": ("wav", 16000, 1, {"subtype": "PCM_16"}),
    "s24": ("wav", 44100, 2, {"subtype": "PCM_24"}),
    "s32": ("wav", 8000, 8, {"subtype": "PCM_32"}),
    "f32": ("wav", 16000, 1, {"subtype": "FLOAT"}),
    "f64": ("wav", 8000, 2, {"subtype": "DOUBLE"}),
    "ulaw": ("wav", 8000, 1, {"subtype": "ULAW"}),
    "alaw": ("wav", 8000, 1, {"subtype": "ALAW"}),
    "adpcm": ("wav", 8000, 1, {"subtype": "IMA_ADPCM"}),
    "wavex": ("wav", 16000, 2, {"format": "WAVEX"}),
    "flac16": ("flac", 16000, 1, {"subtype": "PCM_16"}),
    "flac24": ("flac", 48000, 2, {"subtype": "PCM_24"}),
    "vorbis": ("ogg", 16000, 1, {"subtype": "VORBIS"}),
    "vorbis2": ("ogg", 44100, 2, {"subtype": "VORBIS"}),
    "opus": ("opus", 48000, 1, {"format": "OGG", "subtype": "OPUS"}),
    "cbr": ("mp3", 16000, 1, {"bitrate_mode": "CONSTANT", "compression_level": 0.5}),
    "vbr": ("mp3", 44100, 2, {"bitrate_mode": "VARIABLE", "compression_level": 0.5}),
    "aiff": ("aiff", 16000, 1, {"subtype": "PCM_16"}),
    "au": ("au", 8000, 1, {"subtype": "ULAW"}),
    "caf": ("caf", 16000, 1, {"subtype": "PCM_16"}),
    "rf64": ("wav", 16000, 1, {"format": "RF64"}),
    "w64": ("w64", 16000, 1, {"subtype": "PCM_16"}),
    "nist": ("nist", 16000, 1, {"subtype": "PCM_16"}),
}
COMMON = tuple(FORMATS)[:17]  # what the package promises to read
MP3_TAG = b"ID3\x04\0\0\0\0\0\x17TIT2\0\0\0\x0d\0\0\3Test of a tag"


@functools.cache
def whole(name):
    """The bytes of an undamaged file of that format: noise and a tone."""
    if name == "bare":  # no Xing frame, which says the length
        content = whole("vbr")
        return content[content.index(content[:2], 2) :]
    if name == "tagged":
        return MP3_TAG + whole("cbr")
    suffix, rate, channels, options = FORMATS[name]
    samples = round(SECONDS_IN_PAGES.get(name, SECONDS) * rate)
    rng = np.random.default_rng(0)
    tone = 0.3 * np.sin(0.2 * np.arange(samples))[:, None]
    wave = tone + 0.05 * rng.standard_normal((samples, channels))
    wave[: samples // 4] *= 0.01  # so that bit rates vary
    file = io.BytesIO()
    soundfile.write(file, wave, rate, **{"format": suffix, **options})
    return bytes(_without_chance(bytearray(file.getvalue())))


def _without_chance(content):
    """libsndfile writes random numbers of streams into Ogg, and the time into wav."""
    at = content.find(b"OggS")
    while at >= 0:
        content[at + 14 : at + 18] = b"\x01\x02\x03\x04"
        at = content.find(b"OggS", at + 4)
    at = content.find(b"PEAK")
    if at >= 0:
        content[at + 12 : at + 16] = bytes(4)
    return sign_ogg_pages(content)


def suffix(name):
    return FORMATS[name][0] if name in FORMATS else "mp3"


def damaged(seed, number):
    """The name and the bytes of a damaged file."""
    rng = np.random.default_rng([seed, number])
    names = COMMON + ("bare", "tagged") if rng.random() < 0.9 else tuple(FORMATS)
    name = str(rng.choice(names))
    how = DAMAGES[rng.integers(len(DAMAGES))]
    content = how(rng, bytearray(whole(name)), name)
    if rng.random() < 0.1:  # more than one thing can be wrong
        again = DAMAGES[rng.integers(len(DAMAGES))]
        content = again(rng, content, name) if len(content) > 64 else content
    ending = suffix(name if rng.random() < 0.9 else str(rng.choice(tuple(FORMATS))))
    return f"{number}-{name}-{how.__name__}.{ending}", bytes(content)


def truncate(rng, content, name):
    return content[: rng.integers(len(content))]


def flip_header_bits(rng, content, name):
    return _flip(rng, content, min(len(content), 120), rng.integers(1, 4))


def flip_bits(rng, content, name):
    return _flip(rng, content, len(content), rng.integers(1, 20))


def _flip(rng, content, end, flips):
    for _ in range(flips):
        content[rng.integers(end)] ^= 1 << int(rng.integers(8))
    return content


def overwrite(rng, content, name):
    at = rng.integers(len(content))
    count = min(len(content) - at, rng.integers(1, 600))
    content[at : at + count] = rng.bytes(count)
    return content


def zero(rng, content, name):
    at = rng.integers(len(content))
    count = min(len(content) - at, rng.integers(1, 2000))
    content[at : at + count] = bytes(count)
    return content


def cut_out(rng, content, name):
    at = rng.integers(len(content))
    del content[at : at + rng.integers(1, 1500)]
    return content


def insert(rng, content, name):
    at = rng.integers(len(content))
    content[at:at] = rng.bytes(rng.integers(1, 5000))
    return content


def repeat(rng, content, name):
    at = rng.integers(len(content))
    content[at:at] = content[at : at + rng.integers(1, 3000)]
    return content


def splice(rng, content, name):
    """Begins as one file and goes on as another one."""
    other = whole(str(rng.choice(COMMON)))
    return content[: rng.integers(len(content))] + other[rng.integers(len(other)) :]


def extreme_field(rng, content, name):
    """A number in the header that cannot be."""
    at = int(rng.integers(min(len(content) - 4, 100)))
    order = "<" if rng.random() < 0.7 else ">"
    field = struct.pack(order + "I", int(rng.choice(EXTREMES)))
    width = 4 if rng.random() < 0.6 else 2
    content[at : at + width] = field[:width] if order == "<" else field[-width:]
    return content


def drop_pages(rng, content, name):
    """Without some Ogg pages, or frames of flac or mp3, or stretches of others."""
    mark = {"ogg": b"OggS", "opus": b"OggS", "flac": b"\xff\xf8"}.get(
        suffix(name), bytes(content[:2])
    )
    parts = bytes(content).split(mark)
    kept = [part for part in parts[1:] if rng.random() < 0.7]
    return bytearray(mark.join([parts[0], *kept]))


def float_payload(rng, content, name):
    """Samples that are no numbers, in the formats that have such."""
    values = np.array([np.nan, np.inf, -np.inf, 1e38, 32768.0, 1e-40], "<f4")
    at = int(rng.integers(44, max(45, len(content) - 40))) & ~3
    content[at : at + 40] = rng.choice(values, 10).tobytes()
    return content


def flip_in_ogg_packets(rng, content, name):
    """As flip_bits, but where that is Ogg its checksums are right."""
    return sign_ogg_pages(_flip(rng, content, len(content), rng.integers(1, 10)))


def extreme_in_ogg_packets(rng, content, name):
    """As extreme_field, anywhere, but where that is Ogg its checksums are right."""
    at = int(rng.integers(len(content) - 8))
    content[at : at + 4] = struct.pack("<I", int(rng.choice(EXTREMES)))
    return sign_ogg_pages(content)


def sign_ogg_pages(content):
    """Every page gets its right checksum: else libogg drops it unseen."""
    at = content.find(b"OggS")
    while 0 <= at < len(content) - 27:
        content[at + 22 : at + 26] = bytes(4)
        segments = content[at + 27 : at + 27 + content[at + 26]]
        page = content[at : at + 27 + len(segments) + sum(segments)]
        checksum = functools.reduce(_ogg_checksum, page, 0)
        content[at + 22 : at + 26] = struct.pack("<I", checksum)
        at = content.find(b"OggS", at + 4)
    return content


def _ogg_checksum(checksum, byte):
    return checksum << 8 & 0xFFFFFFFF ^ _ogg_table()[checksum >> 24 ^ byte]


@functools.cache
def _ogg_table():
    table = []
    for value in range(256):
        value <<= 24
        for _ in range(8):
            value = value << 1 ^ (0x04C11DB7 if value >> 31 else 0)
            value &= 0xFFFFFFFF
        table.append(value)
    return table


DAMAGES = (
    flip_in_ogg_packets,
    extreme_in_ogg_packets,
    truncate,
    truncate,
    flip_header_bits,
    flip_header_bits,
    flip_bits,
    flip_bits,
    overwrite,
    zero,
    cut_out,
    insert,
    repeat,
    splice,
    extreme_field,
    extreme_field,
    drop_pages,
    float_payload,
)


def attempt(path, sample_rate=None):
    """What comes of reading a file: what happened, and why or how many samples."""
    from keras_asit.audio import length, read

    whole, what = _outcome(path, lambda: read(path, sample_rate))
    _, of_part = _outcome(path, lambda: read(path, sample_rate, 0.05, 0.1))
    header, of_length = _outcome(path, lambda: length(path))
    for each in (what, of_part, of_length):
        if each[0] not in ("returned", "refused"):
            return each
    if whole is not None and sample_rate is None:
        promised = len(whole[0]) if header is None or header[0] is None else header[0]
        if header is None or not 0 <= promised - len(whole[0]) <= MP3_SLACK:
            return "length differs", f"{of_length} of {len(whole[0])}"
    return what


def _outcome(path, function):
    """What a function returned, or None, and what is to be said of it."""
    from keras_asit.audio import AudioError

    try:
        result = function()
    except AudioError as error:
        told = str(error)
        is_told = (
            error.path == path and told.count(path) == 1 and len(error.reason) > 20
        )
        return None, ("refused" if is_told else "refused badly", error.reason)
    except BaseException as error:
        return None, ("raised " + type(error).__name__, str(error))
    wave = result[0]
    if not isinstance(wave, np.ndarray):
        return result, ("returned", wave)
    if wave.dtype != np.float32 or wave.ndim != 1 or not 0 < len(wave) < MAX_SAMPLES:
        return None, ("returned badly", f"{wave.dtype} {wave.shape}")
    if not (np.isfinite(wave).all() and np.abs(wave).max() <= 1):
        return None, ("returned badly", "samples out of range")
    return result, ("returned", len(wave))


def limit_memory(spare):
    """From now on the process gets `spare` bytes more, and no more."""
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + spare, used + spare))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--paths", nargs="*", default=(), help="files beside these")
    parser.add_argument("--memory", type=int, default=512 << 20, help="spare bytes")
    parser.add_argument("--sample-rate", type=int, help="rate to resample to, in Hz")
    arguments = parser.parse_args()
    warm_up(arguments.sample_rate)
    limit_memory(arguments.memory)
    with tempfile.TemporaryDirectory() as folder:
        for path in arguments.paths:
            report(path, path, arguments.sample_rate)
        for number in range(arguments.first, arguments.first + arguments.count):
            name, content = damaged(arguments.seed, number)
            path = os.path.join(folder, name)
            with open(path, "wb") as file:
                file.write(content)
            report(name, path, arguments.sample_rate)
            os.remove(path)
    print(json.dumps({"peak_mb": peak_bytes() >> 20}), flush=True)


def peak_bytes():
    """Largest resident set of this process, as ru_maxrss begins with its parent's."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if "VmHWM" in line)


def warm_up(sample_rate):
    """Imports what reading needs, before memory is limited."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "whole.wav")
        with open(path, "wb") as file:
            file.write(whole("s16"))
        attempt(path, sample_rate)


def report(name, path, sample_rate):
    """Prints the name first: where the process ends, it is the file that ended it."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        content = file.read(1 << 20)
    print(json.dumps({"name": name, "crc32": zlib.crc32(content)}), flush=True)
    signal.alarm(TIME_LIMIT)
    began = time.perf_counter()
    what, why = attempt(path, sample_rate)
    signal.alarm(0)
    seconds = round(time.perf_counter() - began, 4)
    print(json.dumps({"what": what, "why": why, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
