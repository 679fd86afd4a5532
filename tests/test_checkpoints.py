import errno

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
    with pytest.warns(UserWarning, match="damaged, and now has the name step-.*damag"):
        checkpoints.set_aside(tmp_path, 9)
    found = sorted(path.name[10:] for path in tmp_path.iterdir())
    assert found == ["00009.ckpt", "00010.ckpt", "00100.ckpt.damaged", "00300.part"]


def test_the_newest_of_a_run_are_kept(tmp_path):
    """Whatever another run, or damage, left there with higher numbers."""
    for step in (7, 8, 9, 100, 200):
        checkpoints.write(tmp_path, step, [np.array(step)], META)
    for keep in (2, 1):
        checkpoints.remove_old(tmp_path, keep, newest=9)
        found = [checkpoints.step_of(path) for path in checkpoints.paths_in(tmp_path)]
        assert found == [200, 100, 9, 8][: 2 + keep]


def test_what_a_killed_save_left_makes_room_for_the_next(tmp_path, monkeypatch):
    (tmp_path / "step-0000000003.part").write_bytes(b"half")
    names, write = [], np.savez
    monkeypatch.setattr(
        np, "savez", lambda *a, **k: (names.extend(tmp_path.iterdir()), write(*a, **k))
    )
    checkpoints.write(tmp_path, 4, some_values(), META)
    assert [path.name for path in names] == ["step-0000000004.part"]


def test_damage_of_every_kind_is_told(tmp_path):
    """Beyond 64 KB numpy parses a header before zipfile has seen the checksum."""
    path = checkpoints.write(tmp_path, 1, [np.zeros((200, 200), "float32")], META)
    content = path.read_bytes()
    header, directory = content.index(b"{'descr'"), content.index(b"PK\x01\x02")
    flips = {  # place: bits
        header: 1,  # the bracket
        header + 1: 0x20,  # a quotation mark
        content.index(b"(200"): 1,
        content.index(b"\x93NUMPY") + 8: 0x40,  # the header's length
        directory + 8: 1,  # encrypted
        directory + 10: 8,  # deflated
        directory + 11: 1,  # a compression that nobody knows
        len(content) - 6: 0x40,  # where the directory is
    }
    for place, bits in flips.items():
        damaged = bytearray(content)
        damaged[place] ^= bits
        path.write_bytes(damaged)
        with pytest.raises(checkpoints.DamagedCheckpoint, match="is damaged"):
            checkpoints.read(path)


def test_none_that_can_be_read_is_not_none(tmp_path, monkeypatch):
    for step in (1, 2):
        checkpoints.write(tmp_path, step, some_values(), META).write_bytes(b"no")
    with pytest.raises(checkpoints.DamagedCheckpoint, match=r"2.ckpt is.*1.ckpt is"):
        checkpoints.read_newest(tmp_path)

    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(np, "load", refuse)
    with pytest.raises(PermissionError, match=r"2.ckpt cannot be read: Permission"):
        checkpoints.read_newest(tmp_path)
