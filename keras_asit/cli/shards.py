"""`asit shards`."""

import argparse

from keras_asit.cli.arguments import (
    add_clips,
    add_command,
    sample_rate,
    share,
    whole_number,
)


def add(commands):
    parser = add_command(
        commands,
        "shards",
        run,
        "write the clips of a manifest as TFRecord shards, with Apache Beam; further "
        "options, such as --direct_num_workers=4, are Beam's",
        "asit shards esc10/manifest.csv esc10_shards --shard-size 256MB\n"
        "  asit shards clips.csv gs://bucket/shards --runner=DataflowRunner "
        "--project=P --region=R --temp_location=gs://bucket/tmp",
    )
    add_clips(parser, "folder or address of the clips (default: the manifest's folder)")
    add = parser.add_argument
    add("out", metavar="OUT", help="folder to write, or to finish")
    add("--shard-size", default="256MB", help="about so large (default: 256MB)")
    add(
        "--sample-rate",
        type=sample_rate,
        default=32000,
        metavar="HZ",
        help="rate of the shards (default: 32000)",
    )
    add(
        "--seed",
        type=whole_number(0),
        default=0,
        help="shuffles the clips (default: 0)",
    )
    add(
        "--max-failure-share",
        type=share,
        default=0.05,
        metavar="SHARE",
        help="share of the clips that may be broken (default: 0.05)",
    )
    add(
        "--where",
        type=condition,
        action="append",
        default=[],
        metavar="COLUMN=VALUE",
        help="only the clips of which this holds, as split=train; may be given again: "
        "other values of a column are let in too, another column has to hold as well",
    )
    parser.set_defaults(takes_more=True)


def condition(text):
    """A type of argument: a column and a value."""
    column, _, value = text.partition("=")
    if not column or not value:
        raise argparse.ArgumentTypeError(
            f"expected COLUMN=VALUE, as split=train, received {text!r}"
        )
    return column, value


def run(settings):
    from keras_asit.data import shards

    where = {}
    for column, value in settings.where:
        where.setdefault(column, []).append(value)
    index = shards.write(
        settings.manifest,
        settings.out,
        shard_size=settings.shard_size,
        sample_rate=settings.sample_rate,
        seed=settings.seed,
        labels=settings.labels,
        allow_outside=settings.allow_outside,
        root=settings.root,
        max_failure_share=settings.max_failure_share,
        pipeline_options=settings.more,
        where=where or None,
    )
    print(
        f"{settings.out}: {index.clips} clips, {index.seconds / 3600:.2f} h, in "
        f"{len(index.shards)} shards, {index.bytes / 1e9:.2f} GB; {index.failures} "
        "could not be read" + ", see failures.csv" * bool(index.failures)
    )
