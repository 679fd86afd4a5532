"""What the commands share: the parser of one, and types of arguments."""

import argparse
import math
import os

BACKENDS = ("tensorflow", "jax", "torch")


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def add_command(commands, name, run, description, example):
    """Adds a subcommand; returns its parser.

    Args:
        commands: What `add_subparsers` returned.
        name: Of the command.
        run: Function of its settings.
        description: What it does, a line.
        example: A command line.
    """
    parser = commands.add_parser(
        name,
        help=description,
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        help="Keras backend (default: KERAS_BACKEND, or what Keras is set to)",
    )
    parser.set_defaults(command=run, takes_more=False)
    return parser


def add_clips(parser, root_help, root_type=str):
    """Adds what says which clips a command is for: as `read_manifest` takes them.

    Args:
        parser: Of the command.
        root_help: What `--root` may be.
        root_type: Its type.
    """
    add = parser.add_argument
    add(
        "manifest",
        type=existing,
        metavar="MANIFEST",
        help="clips: CSV, AST-style JSON, or folder of class folders",
    )
    add(
        "--labels",
        type=existing,
        metavar="CSV",
        help="label CSV index,mid,display_name",
    )
    add("--root", type=root_type, metavar="DIR", help=root_help)
    add("--allow-outside", action="store_true", help="allow clips outside that folder")


def existing(path):
    """A type of argument: a path that is there.

    Looked up here already: the backend takes its time to be imported.
    """
    if not os.path.exists(path):
        raise argparse.ArgumentTypeError(f"no such file or folder: {path}")
    return path


def minutes(text):
    """A type of argument: minutes, above 0."""
    return _number(text, lambda x: 0 < x < math.inf, "above 0")


def decibels(text):
    """A type of argument: decibels, 0 or more."""
    return _number(text, lambda x: 0 <= x < math.inf, "of 0 or more")


def _number(text, in_range, words):
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not in_range(number):
        raise argparse.ArgumentTypeError(
            f"expected a number {words}, received {text!r}"
        )
    return number


def whole_number(least):
    """A type of argument: a whole number from `least` on that numpy takes as a seed."""

    def number(text):
        if not text.isdecimal() or not least <= int(text) < 2**32:
            raise argparse.ArgumentTypeError(
                f"expected a whole number of {least} or more, received {text!r}"
            )
        return int(text)

    return number


def labels_per_class(text):
    """Clips a class; 0 stands for all."""
    if text == "all":
        return 0
    try:
        return whole_number(1)(text)
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}; or 'all'") from None


def sample_rate(text):
    """A type of argument: a sample rate in Hz."""
    return int(_number(text, lambda x: 1 <= x < math.inf and x == int(x), "of Hz"))


def share(text):
    """A type of argument: a share of a whole."""
    return _number(text, lambda x: 0 <= x <= 1, "from 0 to 1")
