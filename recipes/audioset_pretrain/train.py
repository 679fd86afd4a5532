"""Pretraining of ASiT on AudioSet, or on any clips.

    python -m recipes.audioset_pretrain.train --data MANIFEST --out DIR --size base

A run that was cut off goes on from its newest checkpoint: give it the same command.
DIR/backbone is the preset, `keras_asit.presets.load("DIR/backbone")`.
"""

import contextlib
import sys
from pathlib import Path

import keras

from keras_asit import callbacks, cli, data, models, optimizers, presets, training
from keras_asit.cli.arguments import Parser
from keras_asit.data.shards import Shards
from keras_asit.data.shards.reading import is_shards
from recipes import stages
from recipes.audioset_pretrain import config
from recipes.audioset_pretrain.cost import Cost
from recipes.cross_validation_command import TINY_MODEL, TINY_PRETRAINING


def parser():
    top = Parser(description=__doc__.splitlines()[0], allow_abbrev=False)
    add = top.add_argument
    add("--data", required=True, help="manifest, folder of clips, or folder of shards")
    add("--out", required=True, help="folder of the run; an earlier one goes on")
    add("--split", nargs="+", help="of the manifest's column (default: all training)")
    add("--profile", choices=list(config.EPOCHS), default="paper")
    add("--size", choices=config.SIZES, default=config.SIZE)
    add("--epochs", type=cli.whole_number(1), help="default: the profile's")
    add(
        "--batch-size",
        type=cli.whole_number(1),
        help="clips of all devices together (default: the profile's, a device)",
    )
    add("--seed", type=cli.whole_number(0), default=0)
    every = config.CHECKPOINT_STEPS
    add("--every", type=cli.whole_number(1), default=every, help="steps a checkpoint")
    add("--distribute", action="store_true", help="train on all devices there are")
    add("--allow-outside", action="store_true", help="allow clips outside the folder")
    add("--tiny", action="store_true", help="a moment of everything, as the tests do")
    return top


def clips_from(options):
    """What is trained on, the number of clips, and what it is in words."""
    if is_shards(options.data):
        if options.split:
            raise ValueError(
                "--split chooses clips of a manifest; received shards. Write shards "
                "of the clips that shall be trained on."
            )
        return options.data, len(Shards(options.data)), f"shards {options.data}"
    manifest = data.read_manifest(options.data, allow_outside=options.allow_outside)
    name = Path(options.data).name
    if options.split is None and "split" not in manifest.columns:
        return manifest, len(manifest), name
    wanted = options.split or config.SPLITS
    manifest = manifest.where(split=wanted)
    there = " and ".join(sorted({*map(str, manifest.columns["split"])}))
    return manifest, len(manifest), f"{name}, split {there}"


@contextlib.contextmanager
def devices(wanted):
    """Makes models on all devices, if wanted; gives their number (docs/devices.md)."""
    if not wanted:
        yield 1
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        strategy = tf.distribute.MirroredStrategy()
        with strategy.scope():
            yield strategy.num_replicas_in_sync
    elif keras.backend.backend() == "jax":
        keras.distribution.set_distribution(keras.distribution.DataParallel())
        try:
            yield len(keras.distribution.list_devices())
        finally:
            keras.distribution.set_distribution(None)
    else:
        raise ValueError(
            "--distribute needs the backend tensorflow or jax; received "
            f"{keras.backend.backend()}. Set KERAS_BACKEND, or leave it out."
        )


def run(options, made_by):
    """Pretrains, or goes on with it; the backbone is there when it returns."""
    source, clips, what = clips_from(options)
    with devices(options.distribute) as number:
        sizes = _sizes(options, number, clips)
        settings = {
            "clips": clips,
            "data": what,
            "profile": options.profile,
            "size": "tiny model" if options.tiny else options.size,
            "seed": options.seed,
            "backend": keras.backend.backend(),
            **sizes,
        }
        kept = stages.Stages(options.out, settings, made_by)
        print(f"{clips:,} clips of {what}; {sizes}, {number} device(s)", flush=True)
        kept.done(
            "pretraining",
            lambda: _pretrain(source, options, kept.out, sizes, settings, made_by),
        )


def _sizes(options, number, clips):
    epochs = options.epochs or config.EPOCHS[options.profile]
    batch = options.batch_size or config.BATCH_PER_DEVICE[options.profile] * number
    if options.tiny:
        epochs, batch = options.epochs or 1, options.batch_size or 4 * number
    if batch > clips:
        raise ValueError(
            f"Expected as many clips as a batch has, {batch}; received {clips}. Give "
            "--batch-size."
        )
    return {"epochs": epochs, "batch_size": batch}


def _pretrain(source, options, out, sizes, settings, made_by):
    backbone, crop = _backbone(options)
    views = data.pretraining_dataset(
        source,
        sizes["batch_size"],
        sample_rate=backbone.frontend.sample_rate,
        crop_seconds=crop,
        frontend=backbone.frontend,
        shift_probability=config.SHIFT_PROBABILITY,
        seed=options.seed,
    )
    steps = len(views)
    with training.seeded(options.seed):
        pretrainer = models.ASiTPretrainer(
            backbone,
            profile=options.profile,
            seed=options.seed,
            **_tiny_heads(options),
        )
    pretrainer.compile(
        optimizers.pretraining_optimizer(
            steps_per_epoch=steps, profile=options.profile, **sizes
        )
    )
    cost = Cost(sizes["batch_size"], steps * sizes["epochs"])
    checkpoint = callbacks.Checkpoint(out / "checkpoints", every=options.every)
    history = pretrainer.fit(
        views,
        epochs=sizes["epochs"],
        shuffle=False,  # The dataset does, by the seed.
        callbacks=[callbacks.EMATeacher(), cost, checkpoint],
        resume=out / "checkpoints",
    )
    print(cost, flush=True)
    trained_on = (
        f"{settings['clips']} clips of {settings['data']}, without labels; profile "
        f"{options.profile}, {settings['size']}, {sizes['epochs']} epochs of {steps} "
        f"steps of {sizes['batch_size']} clips, seed {options.seed}; commit "
        f"{made_by['commit']}"
    )
    presets.save(pretrainer, out / "backbone", trained_on=trained_on)
    return {
        "steps": steps * sizes["epochs"],
        "step_seconds": cost.step_seconds,
        "trained_on": trained_on,
        "history": {
            name: [round(float(v), 5) for v in row]
            for name, row in history.history.items()
        },
    }


def _backbone(options):
    """A new backbone and the seconds of a view."""
    with training.seeded(options.seed):
        if options.tiny:
            mean, std = -8.0, 4.0
            backbone = TINY_MODEL.backbone(TINY_MODEL.frontend(mean, std))
            return backbone, TINY_MODEL.crop_seconds
        name = f"asit_{options.size}"
        return presets.load(name, load_weights=False), config.CROP_SECONDS


def _tiny_heads(options):
    """Narrow heads for `--tiny`, else the profile's."""
    if not options.tiny:
        return {}
    return {k: v for k, v in TINY_PRETRAINING.items() if k != "batch_size"}


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parser().parse_args(arguments)
    made_by = stages.made_by("recipes.audioset_pretrain.train", arguments)
    return cli.exit_status("train", run, options, made_by)


if __name__ == "__main__":
    sys.exit(main())
