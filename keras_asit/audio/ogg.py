"""What the end of an Ogg file says, and what libsndfile found on its way.

Reference: RFC 3533, section 6 (the page).
"""

import os
import re
import struct
from typing import NamedTuple

from keras_asit.audio.errors import AudioError, truncated

PAGE_BYTES = 65_307  # the largest
HEADER = struct.Struct("<4sBBqIIIB")  # then the size of each segment
ENDS_THE_STREAM = 4  # a flag


class LastPage(NamedTuple):
    """The last page of a file.

    Attributes:
        ends: Whether it is marked as the last: else the file was cut short.
        stop: The number of the sample that it ends before, as the stream counts.
        samples: How many end on it, or None if that cannot be found. Among those
            libsndfile seeks to wrong ones: it takes the page to be full.
        is_of_first: Whether it is of the stream that the file begins with: else
            there are several, of which libsndfile decodes the first.
    """

    ends: bool
    stop: int
    samples: int | None
    is_of_first: bool


def last_page(stream):
    """Finds the `LastPage` of a file that is open for reading bytes."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - 2 * PAGE_BYTES))
    tail = stream.read()
    last = tail.rfind(b"OggS")
    if not 0 <= last <= len(tail) - HEADER.size:
        return LastPage(False, 0, None, True)
    flags, stop, serial = HEADER.unpack_from(tail, last)[2:5]
    before = tail.rfind(b"OggS", 0, last)
    while before >= 0 and _end(tail, before) != last:
        before = tail.rfind(b"OggS", 0, before)
    start = HEADER.unpack_from(tail, before)[3] if before >= 0 else -1
    samples = stop - start if 0 <= start <= stop else None
    stream.seek(0)
    first_serial = HEADER.unpack(stream.read(HEADER.size))[4]
    is_of_first = serial == first_serial
    return LastPage(bool(flags & ENDS_THE_STREAM), stop, samples, is_of_first)


def check_log(path, log, last):
    """Raises AudioError for what libsndfile wrote into its log and passed over.

    Args:
        path: The file's path.
        log: `SoundFile.extra_info`.
        last: The file's `LastPage`.
    """
    if not last.is_of_first:
        raise AudioError(
            path,
            "holds several streams, one behind the other, of which the first alone "
            "would be decoded. Re-encode it as one, or split it.",
        )
    found = re.search(r"(?:PCM end|Last Granule pos)\s*: (\d+)", log)
    if found and int(found[1]) != last.stop:
        what = f"{found[1]} of {last.stop} samples that its last page promises"
        raise truncated(path, what)
    if re.search(r"Corrupted bitstream|reports a hole", log):
        raise AudioError(
            path, "is damaged: pages of it are missing. Fetch it again or leave it out."
        )


def _end(tail, at):
    """Where the page ends that begins there."""
    begin = at + HEADER.size
    segments = tail[begin - 1]
    return begin + segments + sum(tail[begin : begin + segments])
