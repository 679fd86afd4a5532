"""`asit audit`."""

from keras_asit.cli.arguments import (
    add_clips,
    add_command,
    existing,
    sample_rate,
    whole_number,
)


def add(commands):
    parser = add_command(
        commands,
        "audit",
        run,
        "tell what is in a set of clips and what is wrong, and clean its manifest",
        "asit audit esc10/manifest.csv --out runs/audit",
    )
    add_clips(parser, "folder of the clips (default: the manifest's)", existing)
    add = parser.add_argument
    add(
        "--out", default="runs/audit", help="folder of the report (default: runs/audit)"
    )
    add(
        "--sample-rate",
        type=sample_rate,
        metavar="HZ",
        help="rate that clips ought to have (default: that of most)",
    )
    add(
        "--group",
        metavar="COLUMN",
        help="what must not be in two folds or splits, as speaker (default: group)",
    )
    add(
        "--drop",
        type=_kinds,
        action="extend",
        metavar="KINDS",
        help="findings whose clips are left out of the cleaned manifest, divided by "
        "commas; '' for none (default: missing,broken,silent,duplicate)",
    )
    add(
        "--fbank-clips",
        type=whole_number(1),
        metavar="CLIPS",
        help="clips, at most, that mean and deviation are measured on (default: 4000)",
    )
    add(
        "--seed", type=whole_number(0), default=0, help="draws these clips (default: 0)"
    )
    add(
        "--workers",
        type=whole_number(1),
        metavar="THREADS",
        help="clips read at once (default: one a processor)",
    )


def _kinds(text):
    """A type of argument: names divided by commas."""
    return [kind.strip() for kind in text.split(",") if kind.strip()]


def run(settings):
    from keras_asit import audit

    given = {"drop": settings.drop, "fbank_clips": settings.fbank_clips}
    report = audit.audit(
        settings.manifest,
        out=settings.out,
        labels=settings.labels,
        allow_outside=settings.allow_outside,
        root=settings.root,
        sample_rate=settings.sample_rate,
        group=settings.group,
        seed=settings.seed,
        workers=settings.workers,
        **{name: value for name, value in given.items() if value is not None},
    )
    print(audit.summary(report, settings.out))
