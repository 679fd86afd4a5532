"""Clips as TFRecord bytes, with the place of the samples in them.

A record is a serialized `tf.train.Example`, byte for byte as TensorFlow serializes it
deterministically. It is put together here, in some lines, because then the offset of
the samples is known and the machines that write shards need no TensorFlow.

Reference:
    https://www.tensorflow.org/tutorials/load_data/tfrecord (the two formats),
    https://protobuf.dev/programming-guides/encoding/
"""

import struct

MOST_BYTES = 2**31 - 2**20  # of samples in a record: protobuf reads less than 2 GiB
_CRC_MASK = 0xA282EAD8


class RecordWriter:
    """Writes clips to an open file, and knows where their samples lie.

    Args:
        file: A binary file, open for writing at its beginning.

    Attributes:
        size: Bytes written so far.

    Example:
        offset = RecordWriter(file).write(pcm, clip=3, path="dog/1.wav")
    """

    def __init__(self, file):
        self._file, self.size = file, 0

    def write(self, audio, clip, path, labels=(), label_ids=()):
        """Writes one clip.

        Args:
            audio: Bytes of 16-bit little-endian samples.
            clip: Its number in the manifest.
            path: Its path as the manifest has it.
            labels: Names of its classes.
            label_ids: Their numbers.

        Returns:
            The offset of `audio` in the file.
        """
        head, tail = example_around(audio, clip, path, labels, label_ids)
        length = struct.pack("<Q", len(head) + len(audio) + len(tail))
        pieces = (length, _masked_crc32c(length), head, audio, tail)
        pieces += (_masked_crc32c(head, audio, tail),)
        offset = self.size + len(length) + 4 + len(head)
        for piece in pieces:
            self._file.write(piece)
            self.size += len(piece)
        return offset


def example_around(audio, clip, path, labels, label_ids):
    """The bytes of an `Example` before its audio, and those after it."""
    before = b""  # grows outwards: value, bytes_list, value of an entry of the map
    for number in (1, 1, 2):
        before = _head(number, len(before) + len(audio)) + before
    before = _field(1, b"audio") + before
    before = _head(1, len(before) + len(audio)) + before
    after = b"".join(
        _field(1, _field(1, name) + _field(2, feature))
        for name, feature in (
            (b"clip", _integers([clip])),
            (b"label_ids", _integers(label_ids)),
            (b"labels", _texts(labels)),
            (b"path", _texts([path])),
        )
    )
    return _head(1, len(before) + len(audio) + len(after)) + before, after


def _texts(values):
    """A `Feature` with a `BytesList`."""
    return _field(1, b"".join(_field(1, value.encode()) for value in values))


def _integers(values):
    """A `Feature` with an `Int64List` of numbers of 0 or more."""
    return _field(3, _field(1, b"".join(map(_varint, values))) if values else b"")


def _field(number, payload):
    return _head(number, len(payload)) + payload


def _head(number, length):
    """What stands before a field of some bytes: its number and its length."""
    return bytes([number << 3 | 2]) + _varint(length)


def _varint(number):
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


def _masked_crc32c(*pieces):
    import google_crc32c  # of the extra `shards`

    crc = 0
    for piece in pieces:
        crc = google_crc32c.extend(crc, piece)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + _CRC_MASK) & 0xFFFFFFFF)
