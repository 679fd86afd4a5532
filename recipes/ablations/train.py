"""One table of the paper's ablations: every row pretrained, fine-tuned and scored.

    python -m recipes.ablations.train --table losses --data MANIFEST --out DIR

Every stage of a row leaves its result in DIR when it is done, so that a table that was
cut off goes on where it was, and rows can be run one by one. `TABLE/table.md` holds
them all, with seeds, mean and deviation.
"""

import dataclasses
import functools
import logging
import re
import sys
from pathlib import Path

from keras_asit import cli, data
from keras_asit.cli.arguments import Parser
from keras_asit.data.class_list import read_class_list
from recipes import cross_validation, results, stages
from recipes.ablations import config
from recipes.audioset_20k import config as audioset_20k
from recipes.cross_validation_command import (
    TINY_MODEL,
    TINY_PRETRAINING,
    lasting,
    tiny,
)
from recipes.starts import from_images, random_backbone, sizes_of

HEAD = ("row", "fine-tuned (%)", "linear probe (%)", "± over", "held out", "seeds")
HEAD += ("duration of the fine-tuning",)
HEAD += ("commit", "machine", "the paper's AS-20K mAP")


def parser():
    top = Parser(description=__doc__.splitlines()[0], allow_abbrev=False)
    add = top.add_argument
    add("--table", required=True, choices=list(config.TABLES))
    add("--data", required=True, help="manifest of labelled clips")
    add("--out", required=True, help="folder of the runs; an earlier one goes on")
    add("--rows", nargs="+", help="of the table (default: all)")
    add("--column", default="fold", help="to hold out by (default: fold)")
    add("--held-out", nargs="+", help="values to hold out (default: each)")
    add("--train-values", nargs="+", default=(), help="with --column split: train")
    add("--pretrain", help="manifest to pretrain on (default: the training clips)")
    add("--pretrain-values", nargs="+", help="of --column: clips to pretrain on")
    add("--classes", help="class list of the manifest, as AudioSet's")
    add(
        "--labels",
        choices=audioset_20k.LABELS,
        help="variant of AudioSet's labels in the manifest, printed with the table "
        f"(default: {audioset_20k.LABELS[0]})",
    )
    add("--seeds", nargs="+", type=cli.whole_number(0), default=config.SEEDS)
    add("--scale", choices=list(config.SCALES), default="small")
    add("--steps", type=cli.whole_number(1), help="of pretraining")
    add("--epochs", type=cli.whole_number(1), help="of fine-tuning")
    add("--image-net", help="vision transformer for the rows called ImageNet")
    add("--tiny", action="store_true", help="a moment of everything, as the tests do")
    add("--allow-outside", action="store_true", help="allow clips outside the folder")
    return top


def study_of(row, options, sizes=None):
    """The `Study` of a row; `sizes` are of the network, the scale's by default."""
    scale = config.SCALES[options.scale]
    model = scale.models[row.size or next(iter(scale.models))]
    pretraining, protocol = {**scale.pretraining, **row.options}, scale.protocol
    steps = max(1, round(row.steps * (options.steps or scale.steps)))
    if options.epochs:
        protocol = lasting(protocol, options.epochs)
    if options.tiny:
        protocol = tiny(protocol)
        width = {"smaller": 16, "base": 64}.get(row.size, TINY_MODEL.hidden_dim)
        model = dataclasses.replace(TINY_MODEL, hidden_dim=width)
        pretraining |= TINY_PRETRAINING
        steps = max(1, round(2 * row.steps))
    return cross_validation.Study(
        column=options.column,
        train_values=tuple(options.train_values),
        model=model,
        pretraining=pretraining,
        learning_rate=scale.learning_rate,
        steps=steps,
        steps_all=0,
        protocol=protocol,
        vision=options.image_net if row.is_vision else None,
        sizes=sizes,
    )


def run(options, made_by):
    """Runs rows, and writes the table of all that the folder holds."""
    rows, names = config.TABLES[options.table], chosen_rows(options)
    read = functools.partial(data.read_manifest, allow_outside=options.allow_outside)
    manifest = read(options.data, labels=options.classes)
    unlabelled = read(options.pretrain) if options.pretrain else None
    if options.pretrain_values:
        source = manifest if unlabelled is None else unlabelled
        unlabelled = source.where(**{options.column: options.pretrain_values})
    labels, sizes = labels_of(manifest, options), image_net_sizes(options)
    studies = {name: study_of(rows[name], options, sizes) for name in names}
    for name, study in studies.items():
        starts = (rows[name].start,)
        cross_validation.checked(manifest, study, options.held_out, starts)
    out = Path(options.out) / options.table
    stages.Stages(out, {"labels": labels, "sizes": sizes}, made_by)
    for name, study in studies.items():
        print(f"{options.table}: {name}", flush=True)
        cross_validation.run(
            manifest,
            study,
            out / slug(name),
            groups=options.held_out,
            seeds=options.seeds,
            starts=(rows[name].start,),
            unlabelled=unlabelled,
            made_by=made_by,
        )
        stages.write(out / "table.md", table(out, rows))
    print((out / "table.md").read_text(encoding="utf-8"))


def chosen_rows(options):
    """Names of the rows to run."""
    rows = config.TABLES[options.table]
    names = options.rows or list(rows)
    if unknown := sorted({*names} - {*rows}):
        raise ValueError(f"Expected rows of {list(rows)}; received {unknown}.")
    if options.image_net is None:
        without = [name for name in names if rows[name].is_vision]
        if without and options.rows:
            raise ValueError(
                f"The rows {without} begin with ImageNet's weights. Give --image-net, "
                "a keras-hub preset or a folder of a transformers ViT."
            )
        for name in without:
            print(f"{name}: left out, it needs --image-net")
        names = [name for name in names if name not in without]
    return names


def image_net_sizes(options):
    """Sizes of the vision transformer, which all rows of its table take, or None."""
    rows = config.TABLES[options.table].values()
    if options.image_net is None or not any(row.is_vision for row in rows):
        return None
    study = study_of(config.Row(), options)
    backbone = random_backbone(study, study.model.frontend())
    sizes = sizes_of(from_images(options.image_net, backbone))
    print(f"all rows have the sizes of {options.image_net}: {sizes}", flush=True)
    return sizes


def labels_of(manifest, options):
    """The variant of AudioSet's labels; None for another data set's."""
    audioset, _ = read_class_list(audioset_20k.CLASSES)
    if {*manifest.class_names} <= {*audioset}:
        return options.labels or audioset_20k.LABELS[0]
    if options.labels:
        raise ValueError(
            "--labels is for the classes of AudioSet; the manifest has "
            f"{manifest.class_names[:5]}. Leave it out."
        )
    return None


def slug(name):
    """A row's name for a folder: `C+R` to `c+r`, `10 %` to `10`."""
    return re.sub(r"[^a-z0-9.+]+", "-", name.lower()).strip("-")


def table(out, rows):
    """The table of the rows that were run, as markdown."""
    lines = [f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|"]
    commands = {}
    for name, row in rows.items():
        file = out / slug(name) / "results.json"
        if not file.is_file():
            continue
        found = stages.read_json(file)
        tuned, probe = found[row.start], found.get(f"{row.start}_probe")
        made = [measure["made_by"] for measure in found.values()]
        for one in made:
            commands |= dict.fromkeys(one["command"])
        cells = [name, results.spread(tuned)]
        cells += [results.spread(probe) if probe else ""]
        cells += [tuned["deviation_over"]]
        cells += [" ".join(tuned["groups"]), " ".join(tuned["seeds"])]
        cells += [tuned["made_by"]["duration"]]
        for key in ("commit", "machine"):
            cells.append("; ".join(dict.fromkeys(v for one in made for v in one[key])))
        cells.append(str(config.PAPER.get(out.name, {}).get(name, "")))
        lines.append(f"| {' | '.join(cells)} |")
    if labels := stages.read_json(out / "settings.json")["labels"]:
        lines += ["", f"labels: {labels}"]
    lines += ["", *(f"    {command}" for command in commands)]
    return "\n".join(lines) + "\n"


def main(arguments=None):
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    options = parser().parse_args(arguments)
    # Says how position embeddings were interpolated.
    logging.basicConfig(format="%(message)s")
    logging.getLogger("keras_asit").setLevel(logging.INFO)
    made_by = stages.made_by("recipes.ablations.train", arguments)
    return cli.exit_status("train", run, options, made_by)


if __name__ == "__main__":
    sys.exit(main())
