import ml_dtypes
import numpy as np
import pytest

from keras_asit import checkpoints

pytestmark = pytest.mark.backend_free
META = {"epoch": 2, "data": {"seed": 3}}


def some_values():
    rng = np.random.default_rng(0)
    return [
        rng.normal(size=(4, 5)).astype("float32"),
        np.array(7, "int32"),
        rng.normal(size=6).astype(ml_dtypes.bfloat16),
    ]


def test_what_was_written_is_read(tmp_path):
    path = checkpoints.write(tmp_path / "run", 12, some_values(), META)
    assert path.name == "step-0000000012.ckpt"
    meta, found = checkpoints.read(path)
    assert meta == {"format": checkpoints.FORMAT, "step": 12, **META}
    for value, expected in zip(found, some_values(), strict=True):
        assert value.shape == expected.shape
        assert value.tobytes() == expected.tobytes()


def test_no_damage_goes_unseen(tmp_path):
    path = checkpoints.write(tmp_path, 1, some_values(), META)
    content, rng = path.read_bytes(), np.random.default_rng(1)
    written = [value.tobytes() for value in some_values()]
    refused = 0
    for _ in range(400):
        damaged = bytearray(content)
        damaged[rng.integers(len(content))] ^= 1 << rng.integers(8)
        path.write_bytes(
            damaged[: rng.integers(len(content))] if rng.random() < 0.3 else damaged
        )
        try:
            meta, found = checkpoints.read(path)
        except checkpoints.DamagedCheckpoint:
            refused += 1
        else:  # a date, say, in the directory of the archive
            assert [value.tobytes() for value in found] == written
            assert meta["step"] == 1
    assert refused > 300


def test_the_newest_sound_one_is_read(tmp_path):
    assert checkpoints.read_newest(tmp_path / "none") is None
    for step in (9, 10, 100):
        checkpoints.write(tmp_path, step, [np.array(step)], META)
    assert checkpoints.read_newest(tmp_path)[1]["step"] == 100
    newest = checkpoints.paths_in(tmp_path)[0]
    newest.write_bytes(newest.read_bytes()[:200])
    (tmp_path / "step-0000000300.part").write_bytes(b"")
    with pytest.warns(UserWarning, match="100.ckpt is damaged.*Going back"):
        path, meta, [value] = checkpoints.read_newest(tmp_path)
    assert (path.name, meta["step"], value) == ("step-0000000010.ckpt", 10, 10)
    checkpoints.remove_old(tmp_path, 2)
    assert sorted(p.name[-8:] for p in tmp_path.iterdir()) == ["010.ckpt", "100.ckpt"]
