"""Records are what TensorFlow writes, and their samples lie where they are said to."""

import io

import pytest

from keras_asit.data.shards import records

pytestmark = pytest.mark.backend_free
pytest.importorskip("google_crc32c")

CLIPS = [
    {"audio": b"", "clip": 0, "path": "a.wav"},
    {"audio": b"\1\2", "clip": 1, "path": "a.wav", "labels": ["dog"], "label_ids": [0]},
    {
        "audio": bytes(range(256)) * 3,  # lengths of two bytes
        "clip": 300,
        "path": "ordner/ä.wav",
        "labels": ["dog", "rain, heavy", "räin"],
        "label_ids": [0, 127, 128],
    },
    {"audio": b"ab" * 70_000, "clip": 2**40, "path": "x" * 200},
]


def written(clips):
    file = io.BytesIO()
    writer = records.RecordWriter(file)
    offsets = [writer.write(**clip) for clip in clips]
    assert writer.size == len(file.getvalue())
    return file.getvalue(), offsets


def example_of(tf, audio, clip, path, labels=(), label_ids=()):
    def texts(values):
        values = [v if isinstance(v, bytes) else v.encode() for v in values]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    def numbers(values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))

    return tf.train.Example(
        features=tf.train.Features(
            feature={
                "audio": texts([audio]),
                "path": texts([path]),
                "clip": numbers([clip]),
                "labels": texts(labels),
                "label_ids": numbers(label_ids),
            }
        )
    )


@pytest.mark.parametrize("clip", CLIPS)
def test_example_is_that_of_tensorflow(clip):
    tf = pytest.importorskip("tensorflow")
    clip = {"labels": (), "label_ids": ()} | clip
    head, tail = records.example_around(**clip)
    expected = example_of(tf, **clip).SerializeToString(deterministic=True)
    assert head + clip["audio"] + tail == expected


def test_file_is_that_of_tensorflow(tmp_path):
    tf = pytest.importorskip("tensorflow")
    ours, offsets = written(CLIPS)
    theirs = tmp_path / "theirs"
    with tf.io.TFRecordWriter(str(theirs)) as writer:
        for clip in CLIPS:
            example = example_of(tf, **clip)
            writer.write(example.SerializeToString(deterministic=True))
    assert ours == theirs.read_bytes()
    for offset, clip in zip(offsets, CLIPS):
        assert ours[offset : offset + len(clip["audio"])] == clip["audio"]


def test_bytes_by_hand():
    """A record of one sample and no label, field by field."""
    file, (offset,) = written([{"audio": b"\x34\x12", "clip": 5, "path": "a"}])
    example = (
        b"\x0a\x4e"  # Example.features, 78 bytes
        b"\x0a\x0f\x0a\x05audio\x12\x06\x0a\x04\x0a\x02\x34\x12"  # bytes_list
        b"\x0a\x0d\x0a\x04clip\x12\x05\x1a\x03\x0a\x01\x05"  # int64_list, packed
        b"\x0a\x0f\x0a\x09label_ids\x12\x02\x1a\x00"
        b"\x0a\x0c\x0a\x06labels\x12\x02\x0a\x00"
        b"\x0a\x0d\x0a\x04path\x12\x05\x0a\x03\x0a\x01a"
    )
    assert file[:8] == bytes([len(example)]) + bytes(7)
    assert file[12:-4] == example
    assert file[offset : offset + 2] == b"\x34\x12"


def test_checksums_by_an_independent_implementation():
    """Masked CRC-32C of the length and of the record, bit by bit."""

    def masked(data):
        crc = 0xFFFFFFFF
        for byte in data:
            crc ^= byte
            for _ in range(8):
                crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        crc ^= 0xFFFFFFFF
        return ((crc >> 15 | crc << 17) + 0xA282EAD8 & 0xFFFFFFFF).to_bytes(4, "little")

    file, _ = written(CLIPS[1:2])
    assert file[8:12] == masked(file[:8])
    assert file[-4:] == masked(file[12:-4])
