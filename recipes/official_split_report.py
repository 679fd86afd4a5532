"""What a folder of an official split's runs holds, as a table and a picture."""

from pathlib import Path

import numpy as np

from keras_asit import evaluation, pictures
from recipes import results, stages

DRAWN_CLASSES = 100  # of more the names cannot be read
SHARES = "layer_shares"  # of SUPERB's head alone
COLUMNS = ("result", "score (%)", "seeds", "command", "commit", "machine", "duration")


def report(out, study, class_names):
    """Sums up what a folder holds: `results.json`, `results.md`, and a picture."""
    files = sorted(Path(out).glob("seed-*/result.json"))
    records = {f.parent.name.removeprefix("seed-"): stages.read_json(f) for f in files}
    summary = results.summary(
        {seed: {"test": record} for seed, record in records.items()}
    )
    made = stages.provenance(list(records.values()))
    row = {
        "result": study.caption,
        "protocol": study.protocol.name,
        "measure": study.measure,
        "mean": summary["mean"],
        "deviation": summary["deviation"],
        "by_seed": {s: r["score"] for s, r in records.items()},
        "scored_clips": {s: r["scored_clips"] for s, r in records.items()},
        "made_by": made,
    }
    if shares := {s: r[SHARES] for s, r in records.items() if SHARES in r}:
        row[SHARES] = shares
    stages.write(out / "results.json", stages.as_json(row))
    stages.write(out / "results.md", markdown(row))
    if study.protocol.metric == "accuracy" and len(class_names) <= DRAWN_CLASSES:
        _draw_confusion(out, files, study, class_names)
    said = f"{study.measure} {results.spread(row)} %, seeds {' '.join(records)}"
    print(", ".join([said, *study.label_variant]))
    return row


def markdown(row):
    """A result as the table of a README."""
    made = row["made_by"]
    cells = [row["result"], results.spread(row), " ".join(row["by_seed"])]
    cells += ["; ".join(f"`{command}`" for command in made["command"])]
    cells += ["; ".join(made["commit"]), "; ".join(made["machine"]), made["duration"]]
    cells = [cell.replace("|", r"\|") for cell in cells]
    lines = [COLUMNS, ["---"] * len(COLUMNS), cells]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _draw_confusion(out, files, study, class_names):
    """The confusion matrix, of the test clips of all seeds together."""
    counts = 0
    for file in files:
        with np.load(file.parent / "scores.npz") as saved:
            counts = counts + evaluation.confusion_matrix(
                saved["targets"], saved["scores"]
            )
    title = f"{study.task}, protocol {study.protocol.name}, {len(files)} seeds"
    figure = pictures.confusion_matrix(counts, class_names, title=title)
    pictures.save(figure, out / "confusion.png")
