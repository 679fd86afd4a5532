"""The program `asit`: a module for each command."""

import os
import re
import sys
import tempfile

from keras_asit.cli import audit, prepare, quickstart, shards
from keras_asit.cli.arguments import (
    BACKENDS,
    Parser,
    labels_per_class,
    minutes,
    whole_number,
)

__all__ = [
    "exit_status",
    "labels_per_class",
    "main",
    "minutes",
    "parser",
    "whole_number",
]

COMMANDS = (quickstart, prepare, audit, shards)


def main(arguments=None):
    """Runs a command; returns the exit status: 0, or 2 for wrong input."""
    top = parser()
    settings, settings.more = top.parse_known_args(arguments)
    if settings.more and not settings.takes_more:
        top.error(f"unrecognized arguments: {' '.join(settings.more)}")
    if settings.backend:
        os.environ["KERAS_BACKEND"] = settings.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return exit_status("asit", settings.command, settings)


def exit_status(program, job, *arguments):
    """Runs a job; 0, or 2 and one line of what the user can mend, 130 if interrupted.

    Other errors are raised: they are ours.
    """
    try:
        job(*arguments)
    except KeyboardInterrupt:
        print(f"\n{program}: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        message = _mendable(error)
        if message is None:
            raise
        print(f"{program}: error: {message}", file=sys.stderr)
        return 2
    return 0


def _mendable(error):
    """What an error says in one line, if the user can mend it; else None."""
    message = _in_a_line(str(error))
    if hasattr(error, "problems"):  # a `ManifestError`, without importing Keras for it
        return _problems_in_a_line(error)
    # Broken clips, which tf.data reports in a class and with a context of its own.
    broken = re.search(r"\d+ of \d+ clips could not be read.*passed over", message)
    if broken:
        return f"{broken.group()}. Mend or leave out these files"
    if isinstance(error, ImportError) and error.name in BACKENDS:
        return (
            f"{message}; install it: pip install 'keras-asit[{error.name}]', or choose "
            "another that is installed: --backend, or KERAS_BACKEND"
        )
    return message if isinstance(error, (ValueError, OSError, ImportError)) else None


def _problems_in_a_line(error):
    """The first problems of a manifest; a file has all, where there are more."""
    message = f"{error.title} {'; '.join(error.shown)}"
    if error.shown != error.problems:
        with tempfile.NamedTemporaryFile(
            "w",
            encoding="utf-8",
            errors="backslashreplace",
            prefix="asit-",
            suffix=".txt",
            delete=False,
        ) as file:
            file.writelines(f"{problem}\n" for problem in error.problems)
        message += f"; all of them are in {file.name}"
    return _in_a_line(message)


def _in_a_line(text):
    return " ".join(text.split())


def parser():
    """The argument parser, a subcommand a job."""
    top = Parser(
        prog="asit", description="Pretrain and reuse audio spectrogram transformers."
    )
    commands = top.add_subparsers(metavar="command", required=True)
    for command in COMMANDS:
        command.add(commands)
    return top
