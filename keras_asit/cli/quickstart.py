"""`asit quickstart`."""

from keras_asit.cli.arguments import (
    add_command,
    decibels,
    existing,
    labels_per_class,
    minutes,
    whole_number,
)


def add(commands):
    add = add_command(
        commands,
        "quickstart",
        run,
        "pretrain a small ASiT and show whether it helps on held-out clips",
        "asit quickstart --data esc10/manifest.csv --minutes 30 --out runs/esc10",
    ).add_argument
    add(
        "--data",
        type=existing,
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
        type=existing,
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


def run(settings):
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
