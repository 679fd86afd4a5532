"""Names, sizes and the index of a folder of shards."""

import json

import pytest

from keras_asit.data.shards import layout

pytestmark = pytest.mark.backend_free

INDEX = layout.ShardIndex(
    sample_rate=8000,
    clips=3,
    seconds=1.5,
    class_names=["dog", "räin"],
    multi_label=True,
    shards=[
        {"name": "a", "clips": 1, "bytes": 10},
        {"name": "b", "clips": 2, "bytes": 5},
    ],
    manifest={"sha256": "00", "clips": 5},
    shard_size=1000,
    seed=7,
)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("256MB", 256_000_000),
        ("1GB", 1_000_000_000),
        ("64MiB", 64 * 1024**2),
        ("1.5 gib", 3 * 2**29),
        ("100kB", 100_000),
        ("2TB", 2 * 10**12),
        ("10B", 10),
        ("4096", 4096),
        (4096, 4096),
    ],
)
def test_sizes_are_parsed(size, expected):
    assert layout.parse_size(size) == expected


@pytest.mark.parametrize(
    "size",
    [
        *("", "MB", "big", "-5MB", "0", "0.1B", "1,5GB", "5MBit", "2T", "1e9"),
        *(True, None, float("inf"), "9" * 90),
    ],
)
def test_other_sizes_are_refused(size):
    with pytest.raises(ValueError, match=r"256MB, 1\.5GB, 64MiB") as refused:
        layout.parse_size(size)
    assert repr(size) in str(refused.value)


def test_index_comes_back():
    text = INDEX.to_json()
    assert layout.ShardIndex.from_json(text) == INDEX
    assert json.loads(text)["format"] == "keras_asit shards, version 1"
    assert json.loads(text)["shards"][1] == {"name": "b", "clips": 2, "bytes": 5}
    assert (INDEX.failures, INDEX.bytes) == (2, 15)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "{}",
        '{"format": "keras_asit shards, version 1"}',
        INDEX.to_json().replace("version 1", "version 2"),
        INDEX.to_json().replace('"seed"', '"seeds"'),
        *(
            json.dumps(json.loads(INDEX.to_json()) | changes)
            for changes in (
                {"shards": None},
                {"shards": ["x"]},
                {"shards": [{"name": "a", "clips": 3}]},
                {"shards": [{"name": "../a", "clips": 3, "bytes": 10}]},
                {"shards": [{"name": "a", "clips": 3, "bytes": -1}]},
                {"clips": "3"},
                {"clips": 4},
                {"sample_rate": 0},
                {"sample_rate": 8000.0},
                {"class_names": [1]},
                {"multi_label": 1},
                {"manifest": {}},
                {"manifest": {"clips": 2}},
            )
        ),
    ],
)
def test_damaged_index_is_refused(text):
    with pytest.raises(ValueError, match=r"Expected shards\.json as asit shards"):
        layout.ShardIndex.from_json(text)


@pytest.mark.parametrize(
    ("root", "path", "expected"),
    [
        ("/a/b", "/a/b/c/1.wav", "c/1.wav"),
        ("/a/b/", "/a/b/1.wav", "1.wav"),
        ("/", "/a/1.wav", "a/1.wav"),
        ("/a/b", "/a/bc/1.wav", "/a/bc/1.wav"),
        ("", "/a/1.wav", "/a/1.wav"),
        ("gs://a/b", "gs://a/b/1.wav", "1.wav"),
    ],
)
def test_paths_are_relative_to_the_root(root, path, expected):
    assert layout.relative_to(root, path) == expected
