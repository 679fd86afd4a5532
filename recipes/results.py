"""Results of runs that hold groups out: means, deviations, a table, pictures."""

import statistics
from pathlib import Path

import numpy as np

from keras_asit import evaluation, pictures
from recipes import stages

COLUMNS = ("measure", "score (%)", "held out", "seeds", "command", "commit")
COLUMNS += ("machine", "duration")


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
    cross-validation. The deviation is that of the seeds, or with one seed that of the
    groups.

    Args:
        by_seed: `{seed: {group: {"score": %, ...}}}`.
    """
    rows = {s: {g: r["score"] for g, r in of.items()} for s, of in by_seed.items()}
    of_seeds = [statistics.mean(row.values()) for row in rows.values()]
    groups = sorted({group for row in rows.values() for group in row})
    by_group = {
        group: statistics.mean(row[group] for row in rows.values() if group in row)
        for group in groups
    }
    over = of_seeds if len(of_seeds) > 1 else list(by_group.values())
    return {
        "mean": statistics.mean(of_seeds),
        "deviation": statistics.stdev(over) if len(over) > 1 else None,
        "deviation_over": "seeds" if len(of_seeds) > 1 else "groups",
        "seeds": sorted(rows, key=int),
        "groups": groups,
        "by_group": by_group,
    }


def report(out, class_names):
    """Sums up what a folder holds: `results.json`, `results.md`, and pictures.

    Args:
        out: Folder of the runs.
        class_names: Names of the classes.

    Returns:
        `{measure: summary}`.
    """
    found, out = collect(out), Path(out)
    summaries = {measure: summary(rows) for measure, rows in found.items()}
    made = {
        measure: stages.provenance([r for of in rows.values() for r in of.values()])
        for measure, rows in found.items()
    }
    both = {m: {**summaries[m], "made_by": made[m]} for m in summaries}
    stages.write(out / "results.json", stages.as_json(both))
    stages.write(out / "results.md", markdown(both))
    for measure in found:
        _draw_confusions(out, measure, class_names)
    for measure, row in summaries.items():
        print(f"{measure}: {spread(row)} % over {' '.join(row['groups'])}")
    return summaries


def markdown(rows):
    """Results as the table of a README.

    Args:
        rows: `{measure: {**summary, "made_by": provenance}}`.
    """
    lines = [f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|"]
    for measure, row in rows.items():
        made = row["made_by"]
        cells = [measure, spread(row), " ".join(row["groups"]), " ".join(row["seeds"])]
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
        targets = targets.argmax(axis=1)
    counts = evaluation.confusion_matrix(targets, scores)
    figure = pictures.confusion_matrix(counts, class_names, title=measure)
    pictures.save(figure, out / f"{measure}_confusion.png")
