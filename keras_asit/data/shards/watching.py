"""What a user sees of a pipeline while it runs, and how it ends."""

import contextlib
import os
import re
import signal
import sys
import tempfile
import threading
import time

from tqdm import tqdm

from keras_asit.data.shards.one_shard import DONE, ShardError

AGAIN = "run the same command again: what is finished is kept"
_POLL_SECONDS = 1.0  # between looks at what is finished, at least
_POLL_SHARE = 0.05  # of the time that may go into looking


@contextlib.contextmanager
def progress(folder, shards, screen):
    """A bar that follows what is finished, wherever it is being written."""
    before = _count_finished(folder)
    stop = threading.Event()

    def follow():
        pause = _POLL_SECONDS
        while not stop.wait(pause):
            began = time.monotonic()
            with contextlib.suppress(Exception):  # it is looked at again
                if finished := _count_finished(folder) - before - bar.n:
                    bar.update(finished)
            pause = max(_POLL_SECONDS, (time.monotonic() - began) / _POLL_SHARE)

    bar = tqdm(total=shards, desc="shards", unit="shard", file=screen, mininterval=0)
    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        with bar:
            yield
            bar.update(shards - bar.n)
    finally:
        stop.set()
        follower.join(_POLL_SECONDS)


def _count_finished(folder):
    return sum(name.endswith(".json") for name in folder.sizes(DONE))


@contextlib.contextmanager
def stderr_set_aside():
    """Yields the screen, while what else goes there goes into a file.

    Each of Beam's worker processes writes its own log to the stderr that it inherits,
    and an interruption in five of them is five tracebacks. What they say comes out
    after all if the run fails in a way that is not understood.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as log, os.fdopen(os.dup(2), "w") as screen:
        os.dup2(log.fileno(), 2)
        try:
            yield screen
        except (ShardError, KeyboardInterrupt):
            raise
        except BaseException:
            log.seek(0)
            screen.write(log.read().decode(errors="replace"))
            raise
        finally:
            screen.flush()
            os.dup2(kept, 2)
            os.close(kept)


class _LostWorker(BaseException):
    """Comes in the middle of whatever Beam waits for, as Ctrl-C does."""


@contextlib.contextmanager
def interrupted_by_lost_worker():
    """Ends a run whose worker process was killed: Beam would wait for it for ever.

    The system kills processes that take too much memory.
    """
    main = threading.main_thread()
    if threading.current_thread() is not main or not hasattr(signal, "SIGUSR1"):
        yield
        return
    hook, lost = threading.excepthook, []

    def look(failure):
        found = re.match(r"Worker subprocess.* code (-?\d+)$", str(failure.exc_value))
        if not found:
            hook(failure)
        elif not lost and int(found[1]) != -signal.SIGINT:  # that is Ctrl-C, here too
            lost.append(found[0])
            signal.pthread_kill(main.ident, signal.SIGUSR1)

    def interrupt(*_):
        raise _LostWorker

    handler = signal.signal(signal.SIGUSR1, interrupt)
    threading.excepthook = look
    try:
        yield
    except _LostWorker:
        raise ShardError(
            f"A process of Beam was killed, perhaps for its memory ({lost[0]}). Take "
            f"fewer --direct_num_workers and {AGAIN}"
        ) from None
    finally:
        threading.excepthook = hook
        signal.signal(signal.SIGUSR1, handler)


@contextlib.contextmanager
def plain_errors(is_local=True):
    """Errors of a worker travel as text in Beam's own; they are found in it again.

    Args:
        is_local: Whether Beam runs on this machine. A runner elsewhere may fail in
            ways that are not ours, as for want of its server.
    """
    try:
        yield
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        if re.match(r"\w+: KeyboardInterrupt\b", text):
            raise KeyboardInterrupt from None
        found = re.search(rf"{ShardError.__name__}: (.*?) \[while running", text)
        if found:
            raise ShardError(f"{found[1]}. Mend this and {AGAIN}") from None
        if is_local or isinstance(error, ValueError):
            raise
        raise ShardError(f"The runner failed: {text}. Mend this and {AGAIN}") from error
