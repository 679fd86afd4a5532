"""Audio files to mono float32 waveforms."""

import math
import os
import re

import numpy as np
import soundfile

RATES = (1_000, 768_000)  # Hz; outside, the header is taken to be wrong
MAX_PEAK = 8.0  # a louder float file holds integers, not [-1, 1]
BLOCK_SAMPLES = 1 << 20  # a block of all channels: 4 MiB
UNKNOWN_LENGTH = 1 << 62  # libsndfile gives 2**63 - 1 frames, or so
STREAM_BYTES = 0x7FFFF000  # recorders to a pipe write this size, or a larger one
OGG_PAGE_BYTES = 65_307  # the largest
MP3_SLACK = 2 * 1152  # decoder delay, where the encoder did not write it down


class AudioError(ValueError):
    """A file that is not usable audio: which file, why, and what to do.

    Args:
        path: The file's path.
        reason: What is wrong with it and how to mend it, without the path.
    """

    def __init__(self, path, reason):
        super().__init__(path, reason)  # both are args, so that it pickles
        self.path = path
        self.reason = reason

    def __str__(self):
        return f"{self.path}: {self.reason}"


class _Stream(soundfile.SoundFile):
    """A sound file that is read strictly forward.

    `SoundFile.read` seeks after each block, which shifts mp3 by some samples
    and fails at the end of a FLAC whose header says too many frames. It does
    not where the file says it cannot seek; `seek` itself still works.
    """

    def seekable(self):
        return False


def read(path, sample_rate=None, start=0.0, duration=None):
    """Reads an audio file, or a part of it, as a mono float32 waveform.

    Channels are averaged. wav, flac and ogg are decoded from `start` on; mp3
    is decoded from its beginning, because its seeking is not exact to the
    sample. A float file, mp3 or ogg may overshoot full scale and so may the
    resampling filter: samples are clipped to [-1, 1]. Digital silence is fine.

    Args:
        path: A wav, flac, ogg or mp3 file.
        sample_rate: Rate to resample to, in Hz. None keeps the file's rate.
        start: Where to begin, in seconds.
        duration: How much to read, in seconds; less comes back where the file
            ends before. None reads to the end.

    Returns:
        `(waveform, rate)`: float32 `[samples]` in [-1, 1], and its rate in Hz.

    Raises:
        ValueError: If `sample_rate`, `start` or `duration` is out of range.
        AudioError: (a `ValueError`) If the file is missing, a directory, empty,
            not audio or cut short, holds no samples, NaN, infinite or unscaled
            ones, has an impossible sample rate, or ends before `start`.

    Example:

    >>> import tempfile, os, numpy as np, soundfile, keras_asit
    >>> path = os.path.join(tempfile.mkdtemp(), "tone.wav")
    >>> tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    >>> soundfile.write(path, tone, 16000)
    >>> wave, rate = keras_asit.audio.read(path, sample_rate=32000, duration=0.5)
    >>> wave.shape, wave.dtype.name, rate
    ((16000,), 'float32', 32000)
    """
    _check_arguments(sample_rate, start, duration)
    path = os.fspath(path)
    _check_is_a_file(path)
    try:
        with _Stream(path) as file:
            rate = file.samplerate
            _check_header(path, file)
            waveform = _decode(path, file, start, duration)
    except (soundfile.LibsndfileError, TypeError) as error:
        raise AudioError(
            path,
            "cannot be decoded as wav, flac, ogg or mp3: it is not audio, or "
            f"damaged ({getattr(error, 'error_string', error)}). Convert it, "
            "fetch it again, or leave it out.",
        ) from error
    _check_samples(path, waveform)
    if sample_rate is not None and sample_rate != rate:
        waveform, rate = resample(waveform, rate, sample_rate), sample_rate
    return np.clip(waveform, -1.0, 1.0), rate


def _check_arguments(sample_rate, start, duration):
    if sample_rate is not None and not RATES[0] <= sample_rate <= RATES[1]:
        raise ValueError(
            f"`sample_rate` must be None or in Hz, {RATES[0]} to {RATES[1]}. "
            f"Received: sample_rate={sample_rate}"
        )
    if not (math.isfinite(start) and start >= 0):
        raise ValueError(f"`start` must be 0 or more seconds. Received: start={start}")
    if duration is not None and not (math.isfinite(duration) and duration > 0):
        raise ValueError(
            "`duration` must be more than 0 seconds, or None to read to the end. "
            f"Received: duration={duration}"
        )


def _check_is_a_file(path):
    if os.path.isdir(path):
        raise AudioError(path, "is a directory, not an audio file. Name a file in it.")
    if not os.path.exists(path):
        raise AudioError(path, "does not exist. Check the path.")
    if not os.path.isfile(path):
        raise AudioError(path, "is not a regular file. Save the audio to one first.")
    if os.path.getsize(path) == 0:
        raise AudioError(path, "is empty (0 bytes). Fetch it again or leave it out.")


def _check_header(path, file):
    if not RATES[0] <= file.samplerate <= RATES[1]:
        raise AudioError(
            path,
            f"its header says {file.samplerate} Hz, expected {RATES[0]} to "
            f"{RATES[1]}. Repair the header or leave the file out.",
        )
    if file.frames == 0:
        raise AudioError(
            path,
            "holds no audio (0 samples), or was cut short. Fetch it again or "
            "leave it out.",
        )
    # libsndfile shrinks wav, aiff and au headers to the file; its log tells.
    log = re.search(
        r"(?:data|SSND|Data Size)\s*: (\d+) \(should be (\d+)\)", file.extra_info
    )
    if log and int(log[2]) < int(log[1]) < STREAM_BYTES:
        raise _truncated(path, f"{log[2]} of {log[1]} bytes that its header promises")
    if file.format == "OGG" and not _ends_an_ogg_stream(path):
        raise _truncated(path, "audio without a last page that ends the stream")


def _ends_an_ogg_stream(path):
    """Whether the last page is marked as the last: the third bit of its flags."""
    with open(path, "rb") as file:
        file.seek(max(0, os.path.getsize(path) - OGG_PAGE_BYTES))
        end = file.read()
    flags = end.rfind(b"OggS") + 5
    return flags < len(end) and bool(end[flags] & 4)


def _truncated(path, what):
    return AudioError(
        path, f"is truncated: it holds {what}. Fetch it again or leave it out."
    )


def _decode(path, file, start, duration):
    """Decodes `duration` seconds from `start` on, in blocks, to mono."""
    first = round(start * file.samplerate)
    length = _length(path, file)
    if first >= length:
        raise _starts_late(path, start, f"at {length / file.samplerate:g} s")
    wanted = length - first
    if duration is not None:
        wanted = min(wanted, max(1, round(duration * file.samplerate)))
    if file.format == "MP3":
        for _ in _blocks(file, first):
            pass
    elif first:
        file.seek(first)
    blocks = list(_blocks(file, wanted))
    decoded = sum(map(len, blocks))
    slack = MP3_SLACK if file.format == "MP3" else 0
    if length < UNKNOWN_LENGTH and wanted - decoded > slack:
        found, promised = first + decoded, first + wanted
        what = f"{found} of {promised} samples that its header promises"
        raise _truncated(path, what)
    if not decoded:
        raise _starts_late(path, start, "earlier")
    return np.concatenate(blocks)


def _starts_late(path, start, ends):
    return AudioError(
        path, f"ends {ends}, but start={start:g} s was asked for. Start earlier."
    )


def _blocks(file, frames):
    """Yields mono blocks until `frames` are read or the file ends."""
    size = max(1, BLOCK_SAMPLES // file.channels)
    while frames > 0:
        asked = min(size, frames)
        block = file.read(asked, dtype="float32", always_2d=True)
        if len(block):
            yield block[:, 0] if file.channels == 1 else block.mean(axis=1)
        if len(block) < asked:
            return
        frames -= asked


def _length(path, file):
    """Length in samples by the header; UNKNOWN_LENGTH or more if it says none.

    Without a Xing or Info frame an mp3 does not say it: libsndfile guesses from
    the first bit rate, and decodes no more than its guess.
    """
    if file.format != "MP3":
        return file.frames
    with open(path, "rb") as stream:
        head = stream.read(10)
        if head[:3] == b"ID3":  # a tag to jump over: four bytes of seven bits
            size = sum(byte << 7 * (3 - i) for i, byte in enumerate(head[6:10]))
            stream.seek(10 + size)
        head += stream.read(4096)
    return file.frames if b"Xing" in head or b"Info" in head else UNKNOWN_LENGTH


def _check_samples(path, waveform):
    if not np.isfinite(waveform).all():
        raise AudioError(
            path, "holds NaN or infinite samples. Write it again or leave it out."
        )
    peak = float(np.abs(waveform).max())
    if peak > MAX_PEAK:
        raise AudioError(
            path,
            f"its float samples reach {peak:g}, expected [-1, 1]. Divide them by "
            "their full scale (32768 for 16-bit integers) and write it again.",
        )


def resample(waveform, rate, sample_rate):
    """A waveform `[S]` of rate `rate` at `sample_rate`, both in Hz."""
    import librosa  # slow to import, and most data needs no resampling

    return librosa.resample(
        waveform, orig_sr=rate, target_sr=sample_rate, res_type="soxr_hq"
    )
