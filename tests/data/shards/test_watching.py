"""What becomes of Beam's errors, its talk and its lost workers."""

import os
import threading
import time

import pytest

from keras_asit.data.shards import watching
from keras_asit.data.shards.one_shard import ShardError
from keras_asit.data.shards.output import OutputFolder

pytestmark = pytest.mark.backend_free


@pytest.mark.parametrize(
    ("error", "raised", "said"),
    [
        (
            ShardError("shard 3 cannot be written: disk [while running 'a']"),
            ShardError,
            "^shard 3 cannot be written: disk. Mend this and run the same command",
        ),
        (
            RuntimeError("Traceback\n x\na.b.ShardError: full [while running 'a']\n"),
            ShardError,
            "^full. Mend this",
        ),
        (
            RuntimeError("KeyboardInterrupt [while running 'x']"),
            KeyboardInterrupt,
            None,
        ),
        (RuntimeError("something else"), RuntimeError, "^something else$"),
    ],
)
def test_errors_of_workers(error, raised, said):
    with pytest.raises(raised, match=said), watching.plain_errors():
        raise error


def test_errors_of_a_runner_elsewhere():
    """As for want of its server: in one line, with what to do."""
    with pytest.raises(ShardError, match=r"^The runner failed: RuntimeError: no jar\."):
        with watching.plain_errors(is_local=False):
            raise RuntimeError("no jar")
    with pytest.raises(ValueError, match=r"^no temp_location$"):
        with watching.plain_errors(is_local=False):
            raise ValueError("no temp_location")


@pytest.mark.parametrize("error", [None, ShardError("full"), ValueError("odd")])
def test_talk_is_shown_only_where_it_may_help(capfd, error):
    try:
        with watching.stderr_set_aside() as screen:
            os.write(2, b"talk\n")
            print("bar", file=screen)
            if error:
                raise error
    except type(error) as raised:
        assert raised is error
    os.write(2, b"after\n")
    talk = "talk\n" if isinstance(error, ValueError) else ""
    assert capfd.readouterr().err == f"bar\n{talk}after\n"


def test_lost_worker_ends_the_run():
    def fail():
        time.sleep(0.05)
        raise RuntimeError("Worker subprocess exited with return code -9")

    hook = threading.excepthook
    with pytest.raises(ShardError, match=r"return code -9.*run the same command"):
        with watching.interrupted_by_lost_worker():
            threading.Thread(target=fail).start()
            time.sleep(30)
    assert threading.excepthook is hook


def test_ctrl_c_stays_what_it_is():
    with pytest.raises(KeyboardInterrupt), watching.interrupted_by_lost_worker():
        raise KeyboardInterrupt


def test_bar_follows_what_is_finished(tmp_path, monkeypatch):
    """Also what another process finishes, and not what was finished before."""
    pytest.importorskip("apache_beam")
    monkeypatch.setattr(watching, "_POLL_SECONDS", 0.01)
    folder = OutputFolder(tmp_path)
    folder.write("before.txt", "")
    folder.make("plan/done")
    folder.write("plan/done/shard-00000.json", "")
    with open(tmp_path / "screen", "w+") as screen:
        with watching.progress(folder, 3, screen):
            folder.write("plan/done/shard-00001.json", "")
            folder.write("plan/done/shard-00001.csv", "")
            deadline = time.monotonic() + 30
            while "1/3" not in (tmp_path / "screen").read_text():
                assert time.monotonic() < deadline
                screen.flush()
                time.sleep(0.01)
        screen.flush()
        assert "3/3" in (tmp_path / "screen").read_text()
