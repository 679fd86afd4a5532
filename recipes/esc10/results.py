"""Results of a 5-fold recipe: stages that are done once, and their sum."""

import json
import os
import statistics
from pathlib import Path

MADE_BY = ("config", "command", "commit", "machine")


def stage(out, name, settings, run, made_by):
    """What `run()` returned, now or in an earlier run that was cut off later.

    Args:
        out: Folder of the recipe's runs.
        name: Name of the stage's JSON file in it, `fold-F/seed-S/...`; it appears when
            the stage is finished.
        settings: Dictionary that the result depends on, kept beside it.
        run: Function without arguments that returns a dictionary.
        made_by: Dictionary of config, command, commit and machine, kept beside it too;
            it may differ from that of an earlier run.

    Raises:
        ValueError: If the file, or that of another fold or seed, was made with other
            settings.
    """
    path, settings = Path(out) / name, json.loads(json.dumps(settings))
    _, _, *rest = Path(name).parts
    for other in sorted(Path(out).glob("/".join(["fold-*", "seed-*", *rest]))):
        known = json.loads(other.read_text(encoding="utf-8"))["settings"]
        asked = settings
        if other != path:
            known, asked = _of_any_fold(known), _of_any_fold(asked)
        names = sorted({*asked, *known})
        differ = [key for key in names if asked.get(key) != known.get(key)]
        if differ:
            raise ValueError(
                f"{other} was made with another setting of {', '.join(differ)}. "
                "Results of different settings are not mixed: give another --out."
            )
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    record = {"settings": settings, "made_by": made_by, **run()}
    write(path, as_json(record))
    return record


def _of_any_fold(settings):
    """Settings without those in which folds and seeds differ."""
    shared = {key: value for key, value in settings.items() if key != "clips"}
    if "pretraining" in shared:
        shared["pretraining"] = {**shared["pretraining"], "seed": None}
    return shared


def as_json(value):
    return json.dumps(value, indent=2) + "\n"


def write(path, text):
    """Writes a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def collect(out, labels, names):
    """Accuracies of all folds and seeds in a folder: `{name: {seed: {fold: %}}}`.

    Args:
        out: Folder of the recipe's runs.
        labels: Name of the labels' folder, `labels-10` or `labels-all`.
        names: Which scores to look for.
    """
    found = {name: {} for name in names}
    for name in names:
        for file in sorted(Path(out).glob(f"fold-*/seed-*/{labels}/{name}.json")):
            fold, seed = (part.split("-", 1)[1] for part in file.parts[-4:-2])
            record = json.loads(file.read_text(encoding="utf-8"))
            found[name].setdefault(seed, {})[fold] = record["accuracy"]
    return {name: by_seed for name, by_seed in found.items() if by_seed}


def provenance(out, labels):
    """What made the results with these labels, now and in earlier runs.

    Args:
        out: Folder of the recipe's runs.
        labels: Name of the labels' folder. Pretrainings count for every one.

    Returns:
        A dictionary: lists of the configs, commands, commits and machines that made a
        stage, each once, and the duration of all stages.
    """
    files = sorted(Path(out).glob("fold-*/seed-*/pretraining.json"))
    files += sorted(Path(out).glob(f"fold-*/seed-*/{labels}/*.json"))
    records = [json.loads(file.read_text(encoding="utf-8")) for file in files]
    found = {
        key: list(dict.fromkeys(record["made_by"][key] for record in records))
        for key in MADE_BY
    }
    minutes = round(sum(record["seconds"] for record in records) / 60)
    return {**found, "duration": f"{minutes // 60} h {minutes % 60:02d} min"}


def with_gain(accuracies):
    """Adds `gain`: pretrained less scratch, of the same fold and seed."""
    gain = {}
    for seed, by_fold in accuracies.get("pretrained", {}).items():
        scratch = accuracies.get("scratch", {}).get(seed, {})
        both = {
            fold: by_fold[fold] - scratch[fold] for fold in by_fold if fold in scratch
        }
        if both:
            gain[seed] = both
    return {**accuracies, "gain": gain} if gain else accuracies


def summary(by_seed):
    """Mean and deviation of one score.

    The accuracy of a seed is the mean over its folds, as is the custom for 5-fold
    cross-validation; the deviation is that of the seeds.

    Args:
        by_seed: `{seed: {fold: accuracy in %}}`.

    Returns:
        A dictionary: `mean`, `deviation` (None with one seed), `seeds`, `folds` and
        `by_fold`, the mean over seeds of each fold.
    """
    of_seeds = [statistics.mean(by_fold.values()) for by_fold in by_seed.values()]
    folds = sorted({fold for by_fold in by_seed.values() for fold in by_fold})
    by_fold = {
        fold: statistics.mean(row[fold] for row in by_seed.values() if fold in row)
        for fold in folds
    }
    return {
        "mean": statistics.mean(of_seeds),
        "deviation": statistics.stdev(of_seeds) if len(of_seeds) > 1 else None,
        "seeds": sorted(by_seed, key=int),
        "folds": folds,
        "by_fold": by_fold,
    }


def report(out, labels, names):
    """Sums up what a folder holds in `results.json` and `results.md`.

    Args:
        out: Folder of the recipe's runs.
        labels: Name of the labels' folder; results of others stay.
        names: Which scores to look for.

    Returns:
        `{name: summary}`.
    """
    path = Path(out) / "results.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    accuracies = with_gain(collect(out, labels, names))
    summaries = {name: summary(rows) for name, rows in accuracies.items()}
    known[labels] = {
        "run": provenance(out, labels),
        "summary": summaries,
        "accuracy": accuracies,
    }
    write(path, as_json(known))
    write(path.with_suffix(".md"), markdown(known))
    return summaries


COLUMNS = (
    "config | accuracy (%) | folds | seeds | command | commit | machine | duration"
)


def markdown(known):
    """Results as the table of the README, a row for each score.

    Args:
        known: `{labels: {"run": provenance, "summary": {name: summary}}}`.
    """
    lines = [f"| {COLUMNS} |", "|---" * len(COLUMNS.split("|")) + "|"]
    for labels, entry in known.items():
        run = entry["run"]
        for name, row in entry["summary"].items():
            cells = [f"{'; '.join(run['config'])}, {labels}, {name}", spread(row)]
            cells += [" ".join(row["folds"]), " ".join(row["seeds"])]
            cells += ["; ".join(f"`{command}`" for command in run["command"])]
            cells += ["; ".join(run[key]) for key in ("commit", "machine")]
            cells += [run["duration"]]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def spread(row):
    """`61.3 ± 2.1`, the deviation where there is one."""
    deviation = row["deviation"]
    return f"{row['mean']:.1f}" + ("" if deviation is None else f" ± {deviation:.1f}")
