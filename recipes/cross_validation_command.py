"""The command line of recipes that hold groups of clips out."""

import logging
import sys

from keras_asit import cli, data
from keras_asit.cli.arguments import Parser
from keras_asit.training import SmallModel
from recipes import cross_validation, stages

# --tiny: everything for a moment, to see that it runs. Its accuracy means nothing.
TINY_MODEL = SmallModel(
    sample_rate=8000,
    crop_seconds=0.5,
    num_frames=32,
    num_mel_bins=32,
    hidden_dim=32,
    num_layers=1,
    num_heads=2,
)
TINY_PRETRAINING = {
    "batch_size": 8,
    "local_dim": 16,
    "global_dim": 16,
    "projection_hidden_dims": (16,),
    "projection_bottleneck_dim": 8,
    "reconstruction_hidden_dims": (16,),
    "reconstruction_bottleneck_dim": 8,
}


def tiny(protocol):
    """A protocol's choices for one epoch of half a second."""
    average = protocol.average_epochs and (1, 1)
    length = {"epochs": 1, "batch_size": 8, "seconds": 0.5, "num_frames": None}
    length |= {"warmup_steps": 0, "warmup_epochs": 0.0}
    return protocol.replace(**length, average_epochs=average)


def lasting(protocol, epochs):
    """A protocol of other epochs; weights are averaged over those that it has."""
    average = protocol.average_epochs
    if average is not None:
        average = (min(average[0], epochs), min(average[1], epochs))
    return protocol.replace(epochs=epochs, average_epochs=average)


def parser(description, config):
    """The arguments that these recipes share.

    Args:
        description: What the recipe does.
        config: The recipe's module `config`.
    """
    top = Parser(description=description, allow_abbrev=False)
    add = top.add_argument
    add("--data", required=True, help="manifest that the recipe's prepare wrote")
    add("--out", required=True, help="folder of the runs; an earlier one goes on")
    add("--held-out", nargs="+", help=f"{config.COLUMN}s to hold out (default: each)")
    add("--seeds", nargs="+", type=cli.whole_number(0), default=config.SEEDS)
    starts = cross_validation.STARTS
    add("--starts", nargs="+", choices=starts, default=("floor", "scratch", "own"))
    add("--others", nargs="+", default=(), help="manifests for the start 'all'")
    add("--backbone", help="preset for the start 'preset'")
    protocols = list(config.PROTOCOLS)
    add("--protocol", choices=protocols, default=protocols[0])
    add("--epochs", type=cli.whole_number(1), help="of fine-tuning")
    add("--steps", type=cli.whole_number(1), help="of pretraining, for each held out")
    add("--steps-all", type=cli.whole_number(1), help="of pretraining on other sets")
    add(
        "--labels",
        type=cli.labels_per_class,
        default=0,
        help="labelled clips a class for fine-tuning (default: all)",
    )
    add("--tiny", action="store_true", help="a moment of everything, as the tests do")
    add("--allow-outside", action="store_true", help="allow clips outside the folder")
    return top


def study_from(options, config):
    """The `Study` that the command line and `config.py` describe."""
    protocol = config.PROTOCOLS[options.protocol]
    if options.epochs:
        protocol = lasting(protocol, options.epochs)
    sizes = {
        "model": config.MODEL,
        "pretraining": config.PRETRAINING,
        "steps": options.steps or config.STEPS,
        "steps_all": options.steps_all or config.STEPS_ALL,
        "protocol": protocol,
    }
    if options.tiny:
        sizes = {
            "model": TINY_MODEL,
            "pretraining": {**config.PRETRAINING, **TINY_PRETRAINING},
            "steps": options.steps or 2,
            "steps_all": options.steps_all or 2,
            "protocol": tiny(protocol),
        }
    return cross_validation.Study(
        column=config.COLUMN,
        learning_rate=config.LEARNING_RATE,
        pooling=config.POOLING,
        last_layers=config.LAST_LAYERS,
        labels=options.labels,
        **sizes,
    )


def main(config, check, arguments=None, name="train"):
    """Runs a recipe; returns the exit status.

    Args:
        config: The recipe's module `config`.
        check: Function of the manifest that raises where it is another set's.
        arguments: List of words; those of the command line by default.
        name: Of the program.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parser(config.__doc__.splitlines()[0], config).parse_args(arguments)
    # Says how positions were interpolated.
    logging.basicConfig(format="%(message)s")
    logging.getLogger("keras_asit").setLevel(logging.INFO)

    def read(path):
        return data.read_manifest(path, allow_outside=options.allow_outside)

    def job():
        manifest = read(options.data)
        check(manifest)
        cross_validation.run(
            manifest,
            study_from(options, config),
            options.out,
            groups=options.held_out,
            seeds=options.seeds,
            starts=options.starts,
            others=[read(path) for path in options.others],
            preset=options.backbone,
            made_by=stages.made_by(f"{config.__package__}.{name}", arguments),
        )

    return cli.exit_status(name, job)
