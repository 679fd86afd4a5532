"""The program `asit`."""

import argparse
import os
import sys

BACKENDS = ("tensorflow", "jax", "torch")


def main(arguments=None):
    """Runs a command; returns the exit status: 0, or 2 for wrong input."""
    settings = parser().parse_args(arguments)
    if settings.backend:
        os.environ["KERAS_BACKEND"] = settings.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        settings.command(settings)
    except (ValueError, OSError, ImportError) as error:
        print(f"asit: error: {_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("asit: interrupted", file=sys.stderr)
        return 130
    return 0


def _one_line(error):
    return " ".join(str(error).split())


def parser():
    """The argument parser, a subcommand a job."""
    top = argparse.ArgumentParser(
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
    add("--data", help="manifest of labelled clips (default: generated sound events)")
    add("--out", default="runs/quickstart", help="folder of the run")
    add("--minutes", type=_positive, default=5.0, help="minutes for the whole run")
    add("--steps", type=int, default=0, help="steps of pretraining instead of minutes")
    add(
        "--labels",
        type=_labels,
        default=10,
        help="labelled clips a class for fine-tuning, or 'all' (default: 10)",
    )
    add("--fold", default="1", help="fold to hold out, where there are folds")
    add(
        "--unlabelled",
        nargs="+",
        default=[],
        metavar="MANIFEST",
        help="further clips for pretraining",
    )
    add("--seed", type=int, default=0, help="seed of weights, crops and choices")


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
        )
    )


def _positive(text):
    number = float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"expected a number above 0, received {text}")
    return number


def _labels(text):
    if text == "all":
        return 0
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f"expected a number of clips of 1 or more, or 'all'; received {text!r}"
        )
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
