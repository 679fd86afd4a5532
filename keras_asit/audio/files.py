"""An audio file, open for decoding once its header has passed the checks."""

import contextlib
import math
import os
import re

import numpy as np
import soundfile

from keras_asit.audio import ogg
from keras_asit.audio.errors import (
    AudioError,
    cannot_be_opened,
    holds_nothing,
    too_long,
    truncated,
)
from keras_asit.audio.headers import (
    AUDIO,
    FIRST_BYTES,
    check_is_a_file,
    not_audio,
)
from keras_asit.audio.mp3 import LongerFile, Mp3, after_id3

RATES = (1_000, 768_000)  # Hz; outside, the header is taken to be wrong
MAX_CHANNELS = 128
MAX_SAMPLES = 1 << 30  # in one piece: 4 GiB, 6 hours at 48 kHz
MAX_PEAK = 8.0  # a louder float file holds integers, not [-1, 1]
BLOCK_SAMPLES = 1 << 20  # a block of all channels: 4 MiB
UNKNOWN_LENGTH = 1 << 62  # libsndfile gives 2**63 - 1 frames, or so
STREAM_BYTES = 0x7FFFF000  # recorders to a pipe write this size, or a larger one
MP3_SLACK = 2 * 1152  # decoder delay, where the encoder did not write it down
MP3_PADDING = 4 * 1152  # silence that an encoder adds at most


class _Stream(soundfile.SoundFile):
    """A sound file that is read strictly forward.

    `SoundFile.read` seeks after each block, which shifts mp3 by some samples
    and fails at the end of a FLAC whose header says too many frames. It does
    not where the file says it cannot seek; `seek` itself still works.
    """

    def seekable(self):
        return False

    @property
    def is_mpeg(self):
        """Whether it is mp3, by itself or in a wav."""
        return self.subtype.startswith("MPEG_LAYER_")

    @property
    def seeks_exactly(self):
        """Whether `seek` works, and finds the sample."""
        return super().seekable() and not self.is_mpeg


class AudioFile:
    """An audio file whose header has passed the checks, open to be decoded once.

    Args:
        path: The file's path.

    Attributes:
        rate: Its sample rate in Hz.
        is_of_integers: Whether its samples cannot leave [-1, 1], being neither
            floats nor of a lossy format.

    Raises:
        AudioError: If it is not audio, or its header cannot be true.
    """

    def __init__(self, path):
        self.path = path
        check_is_a_file(path)
        with contextlib.ExitStack() as opened, audio_errors(path):
            self._bytes = opened.enter_context(open(path, "rb", buffering=0))
            self._mp3 = self._look_at_the_bytes()
            self._file = opened.enter_context(_open(path))
            self._check_header()
            self._opened = opened.pop_all()
        self.rate = self._file.samplerate
        subtype = self._file.subtype
        self.is_of_integers = subtype[:4] == "PCM_" or subtype in ("ULAW", "ALAW")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._opened.close()

    def count_samples(self, limit=math.inf):
        """Its length in samples, or None if only decoding can tell.

        Args:
            limit: How many matter: an mp3 that does not say its length is counted
                no further, and anything larger may be returned.
        """
        frames = self._file.frames
        if self._mp3 is not None and not self._mp3.says_length:
            return self._count_mp3(limit)
        return frames if frames < UNKNOWN_LENGTH else None

    def decode(self, first, count=None):
        """Mono float32 samples `[count]` from `first` on, fewer where it ends.

        Args:
            first: The first sample.
            count: How many; None: to the end.

        Raises:
            AudioError: If the file is cut short, damaged, too long to be decoded in
                one piece, or holds what is not sound.
        """
        stop = math.inf if count is None else first + count
        length = self.count_samples(stop)
        stop = min(stop, UNKNOWN_LENGTH if length is None else length)
        if stop <= first:
            return np.zeros(0, "float32")
        if length is not None and stop - first > MAX_SAMPLES:
            raise too_long(self.path, stop - first, MAX_SAMPLES)
        with audio_errors(self.path):
            self._go_to(first, stop)
            waveform = self._read(stop - first)
        self._check_log()
        decoded = len(waveform)
        slack = MP3_SLACK if self._file.is_mpeg else 0
        if length is not None and first + decoded + slack < stop:
            what = f"{first + decoded} of {stop} samples that its header promises"
            raise truncated(self.path, what)
        if decoded and not self.is_of_integers:
            self._check_samples(waveform)
        return waveform

    def _look_at_the_bytes(self):
        """The frames of an mp3; None for other formats."""
        head = self._bytes.read(FIRST_BYTES)
        if not AUDIO.match(head):
            return self._mp3_with_junk_before(head)
        if head[:4] == b"OggS":
            self._last_page = ogg.last_page(self._bytes)
            if not self._last_page.ends:
                raise truncated(self.path, "no last page, which ends the stream")
        if head[0] != 0xFF and head[:3] != b"ID3":
            return None
        self._bytes.seek(after_id3(self._bytes))
        return None if self._bytes.read(4) == b"fLaC" else Mp3(self.path, self._bytes)

    def _mp3_with_junk_before(self, head):
        if os.fsdecode(self.path).lower().endswith(".mp3"):
            with contextlib.suppress(AudioError):
                return Mp3(self.path, self._bytes)
        raise not_audio(self.path, head)

    def _check_header(self):
        file, path = self._file, self.path
        if not RATES[0] <= file.samplerate <= RATES[1]:
            raise AudioError(
                path,
                f"its header says {file.samplerate} Hz, expected {RATES[0]} to "
                f"{RATES[1]}. Repair the header or leave the file out.",
            )
        if file.channels > MAX_CHANNELS:
            raise AudioError(
                path,
                f"its header says {file.channels} channels, expected at most "
                f"{MAX_CHANNELS}. Repair the header or leave the file out.",
            )
        if file.frames <= 0:
            raise holds_nothing(path)
        self._check_log()

    def _check_log(self):
        """For what libsndfile found wrong, mended and wrote into its log."""
        log = self._file.extra_info
        if self._file.format == "OGG":
            ogg.check_log(self.path, log, self._last_page)
        # It shrinks the numbers of a header to the file.
        shrunk = re.search(
            r"(?:data|SSND|Data Size|Riff size|riff)\s*: (\d+) \(should be (\d+)\)", log
        )
        if shrunk and int(shrunk[2]) < int(shrunk[1]) < STREAM_BYTES:
            what = f"{shrunk[2]} of {shrunk[1]} bytes that its header promises"
            raise truncated(self.path, what)

    def _go_to(self, first, stop):
        """Makes the next sample that is read the first; see that all can be read."""
        at = 0
        if self._mp3 is not None:
            self._check_mp3(stop)
        elif self._file.format == "OGG":
            at = self._seek_in_ogg(first)
        elif first and self._file.seeks_exactly:
            at = self._file.seek(first)
        for _ in self._blocks(first - at):
            pass

    def _seek_in_ogg(self, first):
        """Goes to the first sample or to one before, and returns which."""
        if self._file.subtype == "OPUS":
            # Also to 0: where the stream was cut from a longer one, only seeking
            # leaves out the decoder's delay.
            return self._file.seek(first)
        if first and self._file.subtype == "VORBIS":
            # Seeking crashes where the headers do not let anything be decoded.
            if not len(self._file.read(1)):
                raise truncated(self.path, "headers that do not let it be decoded")
            self._file.seek(0)  # else it counts the sample
            last = self._last_page.samples
            first = 0 if last is None else min(first, self._file.frames - last - 1)
        return self._file.seek(first) if first > 0 else 0

    def _count_mp3(self, limit):
        with audio_errors(self.path):
            return self._mp3.count_samples(self._bytes, limit)

    def _check_mp3(self, stop):
        """That its frames are as many as it says; opens it anew where it does not."""
        says = self._file.frames
        if not self._mp3.says_length:
            if says < stop:  # a guess, and libsndfile reads no further
                longer = LongerFile(self.path, self._mp3.begin)
                self._opened.enter_context(longer)
                self._file = self._opened.enter_context(_Stream(longer))
            return
        counted = self._count_mp3(stop + MP3_PADDING if stop == says else stop)
        if stop == says and counted > says + MP3_PADDING:
            raise AudioError(
                self.path,
                f"is damaged: its header says {says} samples, but it holds {counted}. "
                "Write it again or leave it out.",
            )

    def _read(self, samples):
        blocks, decoded = [np.zeros(0, "float32")], 0
        for block in self._blocks(samples):
            blocks.append(block)
            decoded += len(block)
            if decoded > MAX_SAMPLES:
                raise too_long(self.path, decoded, MAX_SAMPLES)
        return np.concatenate(blocks) if len(blocks) > 2 else blocks[-1]

    def _blocks(self, samples):
        """Yields mono blocks until so many samples are read or the file ends."""
        size = max(1, BLOCK_SAMPLES // self._file.channels)
        while samples > 0:
            asked = min(size, samples)
            block = self._file.read(asked, dtype="float32", always_2d=True)
            if len(block):
                yield _mean_of_channels(block)
            if len(block) < asked:
                return
            samples -= asked

    def _check_samples(self, waveform):
        peak = max(float(waveform.max()), -float(waveform.min()))
        if not math.isfinite(peak):
            raise AudioError(
                self.path,
                "holds NaN or infinite samples. Write it again or leave it out.",
            )
        if peak > MAX_PEAK:
            raise AudioError(
                self.path,
                f"its samples reach {peak:g}, expected [-1, 1]. Divide them by their "
                "full scale (32768 for 16-bit integers) and write it again, or leave "
                "it out where it is damaged.",
            )


def _open(path):
    # As bytes, a path need not be valid Unicode.
    name = os.fsencode(path) if os.name == "posix" else path
    try:
        return _Stream(name)
    except TypeError as error:
        raise AudioError(
            path,
            "is named .raw, which is for samples without a header. Rename it to what "
            "it is, such as .wav.",
        ) from error


def _mean_of_channels(block):
    """`[S, channels]` to `[S]`: by columns, tens of times as fast as `mean(axis=1)`."""
    mono = block[:, 0]
    if block.shape[1] == 1:
        return mono
    with np.errstate(over="ignore", invalid="ignore"):  # infinite: checked later
        for channel in block.T[1:]:
            mono += channel
        return mono / np.float32(block.shape[1])


@contextlib.contextmanager
def audio_errors(path):
    """What goes wrong with a file within is raised as AudioError."""
    try:
        yield
    except soundfile.LibsndfileError as error:
        why = error.error_string.strip(" .")
        if why.startswith("File does not exist"):  # it does
            why = "its frames cannot be decoded"
        raise AudioError(
            path,
            "cannot be decoded as wav, flac, ogg or mp3: it is not audio, or damaged "
            f"({why}). Convert it, fetch it again, or leave it out.",
        ) from error
    except OSError as error:
        raise cannot_be_opened(path, error) from error
    except MemoryError as error:
        raise AudioError(
            path,
            "does not fit into memory. Read parts of it, with `start` and `duration`.",
        ) from error
