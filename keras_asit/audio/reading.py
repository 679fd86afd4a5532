"""Audio files to mono float32 waveforms, whole or in part."""

import os

import numpy as np

from keras_asit.audio.errors import AudioError, holds_nothing, too_long
from keras_asit.audio.files import MAX_SAMPLES, RATES, AudioFile, audio_errors
from keras_asit.audio.resampling import resample, resampled_length, span_to_resample

__all__ = ["AudioError", "length", "read", "resample", "resampled_length"]

MAX_SECONDS = 1e9  # of an argument, so that samples are countable


def read(path, sample_rate=None, start=0.0, duration=None):
    """Reads an audio file, or a part of it, as a mono float32 waveform.

    Channels are averaged. wav, flac and ogg (vorbis, opus) are decoded from `start`
    on; mp3 is decoded from its beginning, because its seeking is not exact to the
    sample. A part equals the same samples of the whole, resampled or not. A float
    file, mp3 or ogg may overshoot full scale and so may the resampling filter:
    samples are clipped to [-1, 1]. Digital silence is fine.

    Args:
        path: A wav, flac, ogg or mp3 file.
        sample_rate: Rate to resample to, in Hz. None keeps the file's rate.
        start: Where to begin, in seconds: rounded to a sample of the result.
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
    with AudioFile(path) as file:
        rate = file.rate if sample_rate is None else int(sample_rate)
        first = round(start * rate)
        count = None if duration is None else max(1, round(duration * rate))
        from_sample, samples, skip = span_to_resample(first, count, file.rate, rate)
        waveform = file.decode(from_sample, samples)
        if len(waveform) and rate != file.rate:
            samples = resampled_length(len(waveform), file.rate, rate)
            if samples > MAX_SAMPLES:
                raise too_long(path, samples, MAX_SAMPLES)
            with audio_errors(path):
                waveform = resample(waveform, file.rate, rate)
            waveform = waveform[skip : None if count is None else skip + count]
        if not len(waveform):
            raise _starts_late(path, start, file)
        if rate != file.rate or not file.is_of_integers:
            waveform = np.clip(waveform, -1.0, 1.0)
    return waveform, rate


def length(path):
    """Length and rate of an audio file, without decoding it.

    A part is drawn from it and then read, and only that part is decoded. Only
    an mp3 that does not say its length is read through, frame by frame.

    Args:
        path: A wav, flac, ogg or mp3 file.

    Returns:
        `(samples, rate)`: samples of one channel, and their rate in Hz. `samples` is
        None where the header does not say it: some FLAC recorded to a pipe.

    Raises:
        AudioError: If the file is missing, a directory, empty, not audio, or its
            header says that it is cut short, empty or of an impossible rate. What
            only decoding finds, `read` raises.

    Example:

    >>> import tempfile, os, numpy as np, soundfile, keras_asit
    >>> path = os.path.join(tempfile.mkdtemp(), "silence.flac")
    >>> soundfile.write(path, np.zeros(24000), 16000)
    >>> keras_asit.audio.length(path)
    (24000, 16000)
    """
    with AudioFile(os.fspath(path)) as file:
        return file.count_samples(), file.rate


def _check_arguments(sample_rate, start, duration):
    if sample_rate is not None and (
        not RATES[0] <= sample_rate <= RATES[1] or sample_rate != int(sample_rate)
    ):
        raise ValueError(
            f"`sample_rate` must be None or a whole number of Hz, {RATES[0]} to "
            f"{RATES[1]}. Received: sample_rate={sample_rate}"
        )
    if not 0 <= start <= MAX_SECONDS:
        raise ValueError(f"`start` must be 0 or more seconds. Received: start={start}")
    if duration is not None and not 0 < duration <= MAX_SECONDS:
        raise ValueError(
            "`duration` must be more than 0 seconds, or None to read to the end. "
            f"Received: duration={duration}"
        )


def _starts_late(path, start, file):
    if start == 0:
        return holds_nothing(path)
    samples = file.count_samples()
    ends = "earlier" if samples is None else f"at {samples / file.rate:g} s"
    return AudioError(
        path, f"ends {ends}, but start={start:g} s was asked for. Start earlier."
    )
