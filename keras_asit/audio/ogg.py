"""The last pages of an Ogg stream.

Reference: RFC 3533, section 6 (the page).
"""

import os
import struct

PAGE_BYTES = 65_307  # the largest
HEADER = struct.Struct("<4sBBqIIIB")  # then the size of each segment
ENDS_THE_STREAM = 4  # a flag


def last_page(stream):
    """What the last page of a file says.

    Returns:
        `(ends, samples)`: whether it is marked as the last, else the file was cut
        short; and how many samples of the stream end on it, or None if that cannot be
        found. Among those libsndfile seeks to wrong ones: it takes the page to be full.
    """
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - 2 * PAGE_BYTES))
    tail = stream.read()
    last = tail.rfind(b"OggS")
    if not 0 <= last <= len(tail) - HEADER.size:
        return False, None
    flags, stop = HEADER.unpack_from(tail, last)[2:4]
    before = tail.rfind(b"OggS", 0, last)
    while before >= 0 and _end(tail, before) != last:
        before = tail.rfind(b"OggS", 0, before)
    start = HEADER.unpack_from(tail, before)[3] if before >= 0 else -1
    samples = stop - start if 0 <= start <= stop else None
    return bool(flags & ENDS_THE_STREAM), samples


def _end(tail, at):
    """Where the page ends that begins there."""
    begin = at + HEADER.size
    segments = tail[begin - 1]
    return begin + segments + sum(tail[begin : begin + segments])
