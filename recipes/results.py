"""Results of runs that hold groups out: means, deviations, a table, pictures."""

import csv
import io
import statistics
from pathlib import Path

import numpy as np

from keras_asit import evaluation, pictures
from recipes import stages

COLUMNS = ("measure", "score (%)", "± over", "held out", "seeds", "command", "commit")
COLUMNS += ("machine", "duration")
SELECTIONS = {
    "last": "the last epoch counts",
    "validation": "the best epoch on the validation clips counts",
    "ast_published": "the best epoch on the TEST clips counts, as AST published",
}


def collect(out):
    """Results of all groups and seeds: `{measure: {seed: {group: record}}}`."""
    found = {}
    for file in sorted(Path(out).glob("*-*/seed-*/*.json")):
        record = stages.read_json(file)
        if "score" not in record:
            continue
        group, seed = (part.split("-", 1)[1] for part in file.parts[-3:-1])
        found.setdefault(file.stem, {}).setdefault(seed, {})[group] = record
    return found


def summary(by_seed):
    """Mean and deviation of one measure.

    The score of a seed is the mean over its groups, as is the custom for
    cross-validation, of those groups that all seeds have. The deviation is that of the
    seeds, or with one seed that of the groups.

    Args:
        by_seed: `{seed: {group: {"score": %, ...}}}`.

    Raises:
        ValueError: If the seeds have no group in common.
    """
    rows = {s: {g: r["score"] for g, r in of.items()} for s, of in by_seed.items()}
    common = sorted(set.intersection(*(set(row) for row in rows.values())))
    if not common:
        raise ValueError(
            f"Expected seeds that held out the same; received "
            f"{ {seed: sorted(row) for seed, row in rows.items()} }. Run the others."
        )
    of_seeds = [statistics.mean(row[g] for g in common) for row in rows.values()]
    by_group = {
        group: statistics.mean(row[group] for row in rows.values()) for group in common
    }
    over = of_seeds if len(of_seeds) > 1 else list(by_group.values())
    return {
        "mean": statistics.mean(of_seeds),
        "deviation": statistics.stdev(over) if len(over) > 1 else None,
        "deviation_over": "seeds" if len(of_seeds) > 1 else "held out",
        "seeds": sorted(rows, key=int),
        "groups": common,
        "by_group": by_group,
    }


def report(out, class_names):
    """Sums up what a folder holds: `results.json`, `results.md`, `log.csv`, pictures.

    Args:
        out: Folder of the runs.
        class_names: Names of the classes.

    Returns:
        `{measure: summary}`.
    """
    found, out = collect(out), Path(out)
    summaries = {measure: summary(rows) for measure, rows in found.items()}
    both = {}
    for measure, rows in found.items():
        made = stages.provenance([r for of in rows.values() for r in of.values()])
        both[measure] = {**summaries[measure], "made_by": made}
    stages.write(out / "results.json", stages.as_json(both))
    text = caption(out) + "\n\n" + markdown(both) + "\n" + pretrainings(out)
    stages.write(out / "results.md", text)
    stages.write(out / "log.csv", log(out))
    for measure in found:
        _draw_confusions(out, measure, class_names)
    for measure, row in summaries.items():
        print(f"{measure}: {spread(row)} % over {' '.join(row['groups'])}")
    return summaries


def caption(out):
    """What the results of a folder are, by its settings."""
    settings = stages.read_json(Path(out) / "settings.json")
    protocol = settings["protocol"]
    metric = protocol["metric"].replace("_", " ")
    chosen = SELECTIONS[protocol["selection"]]
    if protocol["average_epochs"]:
        first, last = protocol["average_epochs"]
        chosen = f"weights are averaged over the epochs {first} to {last}"
    said = [
        f"{settings['clips'].split(',')[0]}, held out by {settings['column']}",
        f"fine-tuned by the protocol {protocol['name']}, {protocol['epochs']} epochs, "
        f"scored by {metric}; {chosen}",
        "floors, k-NN and probe are accuracies",
    ]
    preset = Path(out) / "settings-preset.json"
    if preset.is_file():
        found = stages.read_json(preset)
        said.append(f"preset: {found['preset']} ({found['trained_on']})")
    return "; ".join(said) + "."


def pretrainings(out):
    """A line for each kind of pretraining: how many there were, and how long."""
    lines = []
    for name in ("own", "all", "others"):
        pattern = "others/*/pretraining.json"
        if name != "others":
            pattern = f"*-*/seed-*/{name}_pretraining.json"
        records = [stages.read_json(f) for f in sorted(Path(out).glob(pattern))]
        if records:
            lengths = sorted({record["steps"] for record in records})
            duration = stages.provenance(records)["duration"]
            lines.append(
                f"Pretrainings `{name}`: {len(records)}, of "
                f"{' '.join(map(str, lengths))} steps each, {duration} together.\n"
            )
    return "".join(lines)


def log(out):
    """The training log of all stages as CSV: an epoch a row, a quantity a column."""
    rows = []
    for file in sorted(Path(out).glob("*/seed-*/*.json")):
        record = stages.read_json(file)
        history = record.get("history", {})
        history = {k: v for k, v in history.items() if not k.startswith("doctor/")}
        stage = file.relative_to(out).with_suffix("").as_posix()
        made = {"stage": stage, "commit": record["made_by"]["commit"]}
        for number, values in enumerate(zip(*history.values(), strict=True), start=1):
            epoch = dict(zip(history, values, strict=True))
            rows.append({**made, "epoch": number, **epoch})
    text = io.StringIO()
    columns = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def markdown(rows):
    """Results as the table of a README.

    Args:
        rows: `{measure: {**summary, "made_by": provenance}}`.
    """
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for measure, row in rows.items():
        made = row["made_by"]
        cells = [measure, spread(row), row["deviation_over"]]
        cells += [" ".join(row["groups"]), " ".join(row["seeds"])]
        cells += ["; ".join(f"`{command}`" for command in made["command"])]
        cells += ["; ".join(made["commit"]), "; ".join(made["machine"])]
        lines.append(f"| {' | '.join([*cells, made['duration']])} |")
    return "\n".join(lines) + "\n"


def spread(row):
    """`61.3 ± 2.1`, the deviation where there is one."""
    deviation = row["deviation"]
    return f"{row['mean']:.1f}" + ("" if deviation is None else f" ± {deviation:.1f}")


def _draw_confusions(out, measure, class_names):
    """The confusion matrix of all held-out clips of a fine-tuning, if there is one."""
    files = sorted(out.glob(f"*-*/seed-*/{measure}.npz"))
    if not files:
        return
    saved = [np.load(file) for file in files]
    targets = np.concatenate([arrays["targets"] for arrays in saved])
    scores = np.concatenate([arrays["scores"] for arrays in saved])
    if targets.ndim > 1:
        if np.any(targets.sum(axis=1) != 1):
            return  # several classes a clip
        targets = targets.argmax(axis=1)
    counts = evaluation.confusion_matrix(targets, scores)
    figure = pictures.confusion_matrix(counts, class_names, title=measure)
    pictures.save(figure, out / f"{measure}_confusion.png")
