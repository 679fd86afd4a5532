"""The command line of recipes with an official split."""

import logging
import sys
from pathlib import Path

import numpy as np

from keras_asit import cli, data
from keras_asit.cli.arguments import Parser
from recipes import official_split, stages
from recipes.apart import check_apart
from recipes.cross_validation_command import TINY_MODEL, lasting, tiny
from recipes.models import NamedModel

SIZES = ("tiny", "small", "base")
TINY_CLIPS = 24  # of each part


def parser(config):
    """The arguments that these recipes share; `config` is a recipe's module."""
    top = Parser(description=config.__doc__.splitlines()[0], allow_abbrev=False)
    add = top.add_argument
    add("--data", required=True, help="manifest that the recipe's prepare wrote")
    add("--out", required=True, help="folder of the runs; an earlier one goes on")
    start = top.add_mutually_exclusive_group(required=True)
    start.add_argument("--backbone", help="preset to fine-tune: a folder or an address")
    start.add_argument("--scratch", choices=SIZES, help="size of random weights")
    protocols = list(config.PROTOCOLS)
    add("--protocol", choices=protocols, default=protocols[0])
    add("--seeds", nargs="+", type=cli.whole_number(0), default=config.SEEDS)
    add(
        "--normalisation",
        choices=official_split.NORMALISATIONS,
        default="protocol",
        help="constants of the protocol, where it has some (default); those that the "
        "backbone came with; or those of the training clips",
    )
    add("--epochs", type=cli.whole_number(1))
    add("--batch-size", type=cli.whole_number(1))
    add("--tiny", action="store_true", help="a moment of everything, as the tests do")
    if config.LABELS:
        add(
            "--labels",
            choices=config.LABELS,
            help="variant of the training labels, printed with the result (default: "
            f"{config.LABELS[0]}; with --train-json it has to be said)",
        )
        add("--train-json", help="AST-style JSON of the training clips and labels")
    add("--allow-outside", action="store_true", help="allow clips outside the folder")
    return top


def study_from(options, config, **study):
    """The `Study` that the command line, `config.py` and more attributes describe."""
    protocol = config.PROTOCOLS[options.protocol]
    if options.epochs:
        protocol = lasting(protocol, options.epochs)
    if options.batch_size:
        protocol = protocol.replace(batch_size=options.batch_size)
    scratch, rate = None, None
    if options.scratch:
        frames = protocol.num_frames
        scratch = NamedModel(f"asit_{options.scratch}", protocol.seconds, frames)
        rate = config.SCRATCH_RATE
    if options.tiny:
        protocol = tiny(protocol)
        scratch, rate = options.scratch and TINY_MODEL, None
    return official_split.Study(
        task=config.TASK,
        protocol=protocol,
        backbone=options.backbone,
        scratch=scratch,
        sample_rate=rate,
        normalisation=options.normalisation,
        labels=_labels(options, config),
        **study,
    )


def _labels(options, config):
    """Variant of the training labels, where the data set has several."""
    if not config.LABELS:
        return None
    if options.train_json and options.labels is None:
        raise ValueError(
            "--train-json needs --labels: a file does not tell which labels it holds, "
            f"and every result says so. Give --labels {' or '.join(config.LABELS)}."
        )
    return options.labels or config.LABELS[0]


def parts_from(options, config, protocol):
    """The clips that the command line names, and the order of their classes."""
    manifest = data.read_manifest(
        options.data, labels=config.CLASSES, allow_outside=options.allow_outside
    )
    splits = dict(config.SPLITS)
    if protocol.selection != "validation":
        splits.pop("valid", None)
    given = _training_clips(options, config)
    splits = {part: v for part, v in splits.items() if part not in given}
    parts = official_split.parts_of(manifest, splits, **given)
    if given:
        check_apart(parts.test, given["train"], "the training clips of --train-json")
    _check_classes(manifest.class_names, config)
    if options.tiny:
        parts = official_split.Parts(
            **{name: few(p) for name, p in vars(parts).items() if p is not None}
        )
    return parts, manifest.class_names


def _training_clips(options, config):
    """`{"train": Manifest}` where they come from an AST-style JSON, else nothing."""
    if not config.LABELS:
        return {}
    if options.train_json:
        outside = options.allow_outside
        labels = {"labels": config.CLASSES, "allow_outside": outside}
        return {"train": data.read_manifest(options.train_json, **labels)}
    if options.labels not in (None, config.LABELS[0]):
        raise ValueError(
            f"--labels {options.labels} needs these labels: give --train-json FILE, "
            "AST's JSON of the training clips with its enhanced label set."
        )
    return {}


def _check_classes(names, config):
    if len(names) != config.NUM_CLASSES:
        raise ValueError(
            f"Expected the {config.NUM_CLASSES} classes of {config.TASK}; the manifest "
            f"has {len(names)}. Write it with the recipe's prepare."
        )


def few(manifest):
    """At most `TINY_CLIPS` clips, from the whole length of a manifest."""
    chosen = np.linspace(0, len(manifest) - 1, min(TINY_CLIPS, len(manifest)))
    return manifest.take(chosen.astype(int))


def main(config, arguments=None, *, classifiers=None, cache=True):
    """Runs a recipe; returns the exit status.

    Args:
        config: The recipe's module `config`.
        arguments: List of words; those of the command line by default.
        classifiers: `{protocol: function}`, what makes a protocol's classifier, as of
            `training.fine_tune`, or None for its own. Where it is given protocols
            measure different things, and each has a folder of its own in `--out`.
        cache: Whether waveforms stay in memory.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parser(config).parse_args(arguments)
    # Says how position embeddings were interpolated to the protocol's frames.
    logging.basicConfig(format="%(message)s")
    logging.getLogger("keras_asit").setLevel(logging.INFO)

    def job():
        out, classifier = Path(options.out), None
        if classifiers is not None:
            out, classifier = out / options.protocol, classifiers[options.protocol]
        study = study_from(options, config, classifier=classifier, cache=cache)
        parts, class_names = parts_from(options, config, study.protocol)
        official_split.run(
            parts,
            study,
            out,
            seeds=options.seeds,
            class_names=class_names,
            made_by=stages.made_by(f"{config.__package__}.train", arguments),
        )

    return cli.exit_status("train", job)
