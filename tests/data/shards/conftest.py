"""Small folders of shards, written without the writer: by TensorFlow itself."""

import csv
import os
import zlib

import numpy as np
import pytest
import soundfile

from keras_asit.data.shards.layout import BYTES, CLIPS, INDEX, ShardIndex, shard_name


@pytest.fixture
def write_shards(write_clips, tmp_path):
    """A function that writes noise clips as files and as shards at their rate.

    It returns the paths of the files and the folder of the shards. The clips are
    shuffled over the shards.
    """
    tf = pytest.importorskip("tensorflow")

    def write(count, shards=3, left_out=(), **options):
        paths = write_clips(count, **options)
        folder = tmp_path / "shards"
        folder.mkdir()
        order = np.random.default_rng(0).permutation(count)
        order = [clip for clip in order if clip not in left_out]
        rows, written, samples_of_all = [], [], 0
        for number in range(shards):
            file, position = folder / shard_name(number, shards), 0
            with tf.io.TFRecordWriter(str(file)) as writer:
                for clip in order[number::shards]:
                    samples, _ = soundfile.read(paths[clip], dtype="int16")
                    pcm = samples.astype("<i2").tobytes()
                    record = example(tf, pcm, clip, f"class_{clip % 2}")
                    writer.write(record)
                    offset = position + 12 + record.find(pcm)
                    position += 16 + len(record)
                    rows.append(
                        [os.path.basename(paths[clip]), f"class_{clip % 2}", clip]
                        + [number, offset, len(pcm) // BYTES, zlib.crc32(pcm)]
                    )
                    samples_of_all += len(samples)
            clips = len(order[number::shards])
            written.append({"name": file.name, "clips": clips, "bytes": position})
        with open(folder / CLIPS, "w", newline="") as file:
            header = ["path", "label", "clip", "shard", "offset", "samples", "crc32"]
            csv.writer(file).writerows([header, *rows])
        index = ShardIndex(
            sample_rate=8000,
            clips=len(order),
            seconds=samples_of_all / 8000,
            class_names=["class_0", "class_1"],
            multi_label=False,
            shards=written,
            manifest={"sha256": "", "clips": count},
            shard_size=1,
            seed=0,
        )
        (folder / INDEX).write_text(index.to_json())
        return paths, folder

    return write


def example(tf, pcm, clip, label):
    def texts(*values):
        values = [v if isinstance(v, bytes) else v.encode() for v in values]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))

    number = tf.train.Feature(int64_list=tf.train.Int64List(value=[clip]))
    feature = {"audio": texts(pcm), "clip": number, "labels": texts(label)}
    features = tf.train.Features(feature=feature)
    return tf.train.Example(features=features).SerializeToString()
