"""The frames of an mp3 file, found and counted without decoding them.

libsndfile takes garbage for mp3, passes over some of it between frames, and where
the file does not say its length guesses it from the first bit rate and reads no
more than that.

Reference: ISO/IEC 11172-3, 2.4.1.3 and ISO/IEC 13818-3, 2.4.2.3 (the header).
"""

import io
import math
import os
import re

from keras_asit.audio.errors import AudioError

KBPS = {  # by (MPEG version is 1, layer); index 0 is free format, 15 is forbidden
    (True, 1): range(32, 449, 32),
    (True, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
MAX_FRAME_BYTES = 2881  # 160 kbit/s at 8 kHz and padding
JUNK_BYTES = 1024  # mpg123 looks no further for a frame
MOST_TAGS = 8
DELAY_FRAMES = 3  # that the decoder may need more of than it gives
IN_A_ROW = 3  # headers, each where the one before says: no chance
BLOCK_BYTES = 1 << 16
TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN")  # at the end: ID3v1, APE, Lyrics3
LONGEST_GUESS = 64  # times the file: the ratio of bit rates is at most 40


class Mp3:
    """Where the frames of an mp3 file are, and what the first one says.

    Args:
        path: The file's path.
        stream: The file, open for reading bytes.

    Attributes:
        says_length: Whether a Xing or Info frame says how many frames there are.

    Raises:
        AudioError: If there are no frames.
    """

    def __init__(self, path, stream):
        self.path = path
        begin = after_id3(stream)
        stream.seek(begin)
        head = stream.read(JUNK_BYTES + IN_A_ROW * MAX_FRAME_BYTES)
        at = _first_frame(head)
        if at is None:
            raise AudioError(
                path,
                "holds no mp3 frames. Convert it, fetch it again, or leave it out.",
            )
        self.begin = begin + at
        self.kind, size, self.frame_samples = parse_header(head[at : at + 4])
        self.says_length = _has_length(head[at : at + size])

    def count_samples(self, stream, limit=math.inf):
        """Samples in the frames from the first on, to the end or just over `limit`.

        Raises:
            AudioError: If something else lies between frames, or ends the file.
        """
        most = limit / self.frame_samples + DELAY_FRAMES + self.says_length
        frames, end = self._walk(stream, most)
        if frames < most:
            self._check_rest(stream, frames, end)
        return (frames - self.says_length) * self.frame_samples

    def _walk(self, stream, most):
        """Number of frames that follow each other, and where the last one ends."""
        size = stream.seek(0, os.SEEK_END)
        sizes = {}  # of frames by their header: a file has few different ones
        frames, at = 0, self.begin
        while frames < most and at < size:
            stream.seek(at)
            block = stream.read(BLOCK_BYTES)
            here = 0
            while here < len(block) and frames < most:
                header = block[here : here + 4]
                if header not in sizes:
                    sizes[header] = self._frame_size(header)
                if not sizes[header]:
                    break
                here += sizes[header]
                frames += 1
            if here == 0:
                break
            at += here
        if at > size:  # the last one is cut, and not decoded
            return frames - 1, size
        return frames, at

    def _frame_size(self, header):
        """Bytes of a frame of the first one's kind, 0 if there is none."""
        frame = parse_header(header)
        return frame[1] if frame and frame[0] == self.kind else 0

    def _check_rest(self, stream, frames, end):
        rest = stream.seek(0, os.SEEK_END) - end
        stream.seek(end)
        if rest > MAX_FRAME_BYTES and not stream.read(16).startswith(TAGS):
            raise AudioError(
                self.path,
                f"is damaged: {rest} bytes after the first {frames} mp3 frames, from "
                f"byte {end} on, do not continue them. Fetch it again or leave it out.",
            )


class LongerFile(io.FileIO):
    """A file from its first frame on that claims to be longer than it is.

    So no guess of its length is too short. mpg123 looks for a tag before the end that
    it was told: that reads as zeros.

    Args:
        path: The file's path.
        begin: Where the first frame begins.
    """

    def __init__(self, path, begin):
        super().__init__(path)
        self.begin, self.real_end = begin, super().seek(0, os.SEEK_END)
        self.seek(0)

    def seek(self, offset, whence=os.SEEK_SET):
        if whence == os.SEEK_END:
            offset, whence = offset + LONGEST_GUESS * self.real_end, os.SEEK_SET
        if whence == os.SEEK_SET:
            offset += self.begin
        return super().seek(offset, whence) - self.begin

    def tell(self):
        return super().tell() - self.begin

    def readinto(self, buffer):
        if super().tell() <= self.real_end:
            return super().readinto(buffer)
        buffer[:] = bytes(len(buffer))
        return len(buffer)


def parse_header(header):
    """What four bytes that begin a frame say, or None if they do not begin one.

    Returns:
        `(kind, size, samples)`: what may not change within a file (version, layer,
        rate, mono or not), bytes and samples of the frame.
    """
    if len(header) < 4 or header[0] != 0xFF or header[1] < 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    kbps, rate, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 4 or kbps in (0, 15) or rate == 3:
        return None
    kind = version, layer, rate, header[3] >> 6 == 3
    bits = 1000 * KBPS[version == 3, layer][kbps - 1]  # in a second
    hertz = RATES[version][rate]
    if layer == 1:
        return kind, (12 * bits // hertz + padding) * 4, 384
    samples = 576 if layer == 3 and version != 3 else 1152
    return kind, samples // 8 * bits // hertz + padding, samples


def after_id3(stream):
    """Where the tags end that a file may begin with; their size has 7 bits a byte."""
    begin = 0
    for _ in range(MOST_TAGS):
        stream.seek(begin)
        tag = stream.read(10)
        if len(tag) < 10 or tag[:3] != b"ID3":
            break
        begin += 10 + sum(byte << 7 * (3 - i) for i, byte in enumerate(tag[6:]))
    return begin


def _first_frame(head):
    """Where the first of some frames in a row begins in the bytes, or None."""
    for match in re.finditer(rb"\xff[\xe0-\xff]", head[: JUNK_BYTES + 2]):
        if _follow_each_other(head, match.start()):
            return match.start()
    return None


def _follow_each_other(head, at):
    first = parse_header(head[at : at + 4])
    for row in range(IN_A_ROW):
        if row and (at == len(head) or head.startswith(TAGS, at)):
            return True
        frame = parse_header(head[at : at + 4])
        if frame is None or frame[0] != first[0]:
            return False
        at += frame[1]
    return True


def _has_length(frame):
    """Whether a frame is one of Xing's that says the number of frames."""
    is_mpeg1, is_mono = frame[1] >> 3 & 3 == 3, frame[3] >> 6 == 3
    tag = 4 + ((17 if is_mono else 32) if is_mpeg1 else (9 if is_mono else 17))
    return (
        frame[tag : tag + 4] in (b"Xing", b"Info")
        and not any(frame[6:tag])  # else mpg123 takes it for sound
        and bool(frame[tag + 7] & 1)
        and any(frame[tag + 8 : tag + 12])
    )
