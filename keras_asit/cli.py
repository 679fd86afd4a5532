"""The program `asit`."""

import argparse
import math
import os
import re
import sys

BACKENDS = ("tensorflow", "jax", "torch")


def main(arguments=None):
    """Runs a command; returns the exit status: 0, or 2 for wrong input."""
    settings = parser().parse_args(arguments)
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
    message = " ".join(str(error).split())
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


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def parser():
    """The argument parser, a subcommand a job."""
    top = _Parser(
        prog="asit", description="Pretrain and reuse audio spectrogram transformers."
    )
    commands = top.add_subparsers(metavar="command", required=True)
    _add_quickstart(commands)
    return top


def _command(commands, name, run, description, example):
    parser = commands.add_parser(
        name,
        help=description,
        description=description,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        help="Keras backend (default: KERAS_BACKEND, or what Keras is set to)",
    )
    parser.set_defaults(command=run)
    return parser


def _add_quickstart(commands):
    add = _command(
        commands,
        "quickstart",
        _quickstart,
        "pretrain a small ASiT and show whether it helps on held-out clips",
        "asit quickstart --data esc10/manifest.csv --minutes 30 --out runs/esc10",
    ).add_argument
    add(
        "--data",
        type=_existing,
        metavar="MANIFEST",
        help="labelled clips: CSV, AST-style JSON, or folder of class folders "
        "(default: generated sound events)",
    )
    add("--out", default="runs/quickstart", help="folder of the run")
    add(
        "--minutes",
        type=minutes,
        default=5.0,
        help="about so many minutes for the whole run (default: 5)",
    )
    add(
        "--steps",
        type=whole_number(1),
        default=0,
        help="steps of pretraining, not minutes",
    )
    add(
        "--fine-tuning-steps",
        type=whole_number(1),
        default=200,
        metavar="STEPS",
        help="steps of each fine-tuning (default: 200)",
    )
    add(
        "--labels",
        type=labels_per_class,
        default=10,
        help="labelled clips a class for fine-tuning, or 'all' (default: 10)",
    )
    add("--fold", default="1", help="fold to hold out, if there are any (default: 1)")
    add(
        "--unlabelled",
        type=_existing,
        nargs="+",
        default=[],
        metavar="MANIFEST",
        help="further clips for pretraining",
    )
    add(
        "--filter-decibels",
        type=decibels,
        default=0.0,
        metavar="DB",
        help="random filters of up to so many decibels for the views of pretraining, "
        "for few clips of many recorders (default: 0, none)",
    )
    add("--seed", type=whole_number(0), default=0, help="of weights, crops and choices")


def _quickstart(settings):
    from keras_asit import quickstart

    quickstart.run(
        quickstart.Settings(
            data=settings.data,
            out=settings.out,
            minutes=settings.minutes,
            pretraining_steps=settings.steps,
            labels_per_class=settings.labels,
            fold=settings.fold,
            unlabelled=tuple(settings.unlabelled),
            seed=settings.seed,
            fine_tuning_steps=settings.fine_tuning_steps,
            filter_decibels=settings.filter_decibels,
        )
    )


def _existing(path):
    """Looked up here already: the backend takes its time to be imported."""
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


if __name__ == "__main__":
    sys.exit(main())
