"""The shards of a set as a Beam pipeline, on this machine or on any runner."""

import contextlib
import functools
import importlib.util
import io
import logging
import os
import re
import signal
import sys
import tempfile
import threading
import time

from tqdm import tqdm

from keras_asit.data.shards.one_shard import DONE, ShardError, write_shard

INSTALL = "pip install 'keras-asit[shards]'"
_LOCAL = ("directrunner", "direct")
_POLL_SECONDS = 1.0  # between looks at what is finished, at least
_POLL_SHARE = 0.05  # of the time that may go into looking


def require_beam():
    """Raises ImportError, with the cure, where the extra `shards` is missing."""
    for module in ("apache_beam", "google_crc32c"):
        try:
            missing = importlib.util.find_spec(module) is None
        except ModuleNotFoundError:
            missing = True
        if missing:
            raise ImportError(
                f"Writing shards needs Apache Beam ({module} is not installed): "
                f"{INSTALL}",
                name=module,
            )


def parse_options(arguments):
    """Beam's options from words such as `--runner=FlinkRunner`.

    Without a runner the pipeline runs on this machine; more than one worker are then
    processes, as decoding in Python's threads would not be faster.

    Args:
        arguments: A sequence of strings.

    Returns:
        `(options, is_local)`.

    Raises:
        ValueError: for an option that neither we nor Beam know. Other runners may
            have options of their own, so there it is left to them.
    """
    with _logging_disabled():
        from apache_beam.options import pipeline_options as beam_options

        options = _from_words(beam_options.PipelineOptions, list(arguments))
        standard = options.view_as(beam_options.StandardOptions)
        if (standard.runner or "direct").lower() not in _LOCAL:
            return options, False
        every = options.get_all_options(retain_unknown_options=True)
        unknown = set(every).difference(options.get_all_options())
    if unknown:
        words = [word.partition("=")[0] for word in arguments]
        words = [w for w in words if w.lstrip("-").replace("-", "_") in unknown]
        raise ValueError(
            "Expected options of asit shards or of Apache Beam. Received: "
            + ", ".join(words)
        )
    direct = options.view_as(beam_options.DirectOptions)
    if direct.direct_num_workers != 1 and direct.direct_running_mode == "in_memory":
        direct.direct_running_mode = "multi_processing"
    # DirectRunner first tries Prism, a program that it fetches from the network. It
    # does not with this option, which has no other effect where nothing is triggered.
    options.view_as(beam_options.TypeOptions).allow_unsafe_triggers = True
    standard.runner = "DirectRunner"
    return options, True


def run(tasks, job, options, is_local):
    """Writes shards; returns when Beam is done.

    Args:
        tasks: List of tasks of `write_shard`.
        job: Its `Job`.
        options: `PipelineOptions`.
        is_local: Whether the pipeline runs on this machine, without a server.

    Raises:
        ShardError: where a shard cannot be written. Those that are finished stay.
    """
    with _logging_disabled():
        import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    with contextlib.ExitStack() as within:
        screen = within.enter_context(_stderr_set_aside()) if is_local else sys.stderr
        within.enter_context(_progress(job, len(tasks), screen))
        if is_local:
            within.enter_context(_interrupted_by_lost_worker())
        within.enter_context(_plain_errors())
        pipeline = beam.Pipeline(options=options.view_as(PipelineOptions))
        numbers = pipeline | "plan" >> beam.Create(tasks) | beam.Reshuffle()
        _ = numbers | "write shards" >> beam.Map(functools.partial(write_shard, job=job))
        pipeline.run().wait_until_finish()


def _from_words(parser, words):
    """Beam's parser ends the program at a wrong value; here it is a ValueError."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options = parser(words)
            options.get_all_options()
    except SystemExit:
        reason = said.getvalue().strip().rpartition("error: ")[2]
        raise ValueError(f"Expected options of Apache Beam: {reason}") from None
    return options


@contextlib.contextmanager
def _plain_errors():
    """Errors of a worker travel as text in Beam's own; they are found in it again."""
    try:
        yield
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        if re.match(r"\w+: KeyboardInterrupt\b", text):
            raise KeyboardInterrupt from None
        found = re.search(rf"{ShardError.__name__}: (.*?) \[while running", text)
        if not found:
            raise
        raise ShardError(
            f"{found[1]}. Mend this and run the same command again: what is finished is "
            "kept"
        ) from None


@contextlib.contextmanager
def _progress(job, shards, screen):
    """A bar that follows what is finished, wherever it is being written."""
    before = _count_finished(job.folder)
    stop = threading.Event()

    def follow():
        pause = _POLL_SECONDS
        while not stop.wait(pause):
            began = time.monotonic()
            with contextlib.suppress(Exception):  # it is looked at again
                if finished := _count_finished(job.folder) - before - bar.n:
                    bar.update(finished)
            pause = max(_POLL_SECONDS, (time.monotonic() - began) / _POLL_SHARE)

    bar = tqdm(total=shards, desc="shards", unit="shard", file=screen)
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
def _logging_disabled():
    """Beam warns of packages that it would need for Google Cloud."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


@contextlib.contextmanager
def _stderr_set_aside():
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


@contextlib.contextmanager
def _interrupted_by_lost_worker():
    """Ends a run whose worker process was killed: Beam would wait for it for ever.

    The system kills processes that take too much memory.
    """
    hook, lost = threading.excepthook, []
    main = threading.main_thread()
    can_interrupt = threading.current_thread() is main and hasattr(
        signal, "pthread_kill"
    )

    def look(failure):
        found = re.match(r"Worker subprocess.* code (-?\d+)$", str(failure.exc_value))
        if not found:
            hook(failure)
        elif can_interrupt and not lost and int(found[1]) != -signal.SIGINT:
            lost.append(found[0])  # by Ctrl-C it is interrupted as this process is
            signal.pthread_kill(main.ident, signal.SIGINT)

    threading.excepthook = look
    try:
        yield
    except KeyboardInterrupt:
        if not lost:
            raise
        raise ShardError(
            f"A process of Beam was killed, perhaps for its memory ({lost[0]}). Take "
            "fewer --direct_num_workers and run the same command again: what is finished "
            "is kept"
        ) from None
    finally:
        threading.excepthook = hook
