"""The report of an audit: one dictionary, which JSON, text and page are made from."""

import numpy as np

from keras_asit.audit import facts as clip_facts
from keras_asit.audit import findings as clip_findings
from keras_asit.audit.leaks import divisions, numbered
from keras_asit.version import __version__

LISTED = 1000  # clips of a finding in the report; findings.csv has all
QUANTILES = (0, 1, 5, 25, 50, 75, 95, 99, 100)  # percent


def describe(manifest, facts, findings, dropped, log_mel):
    """The report of an audit.

    Nothing in it depends on when or where it was made, so that two audits of the same
    clips are equal.

    Args:
        manifest: The `Manifest`.
        facts: `Facts` of its clips.
        findings: Their `Findings`.
        dropped: Dict of row to the kind that it is dropped for.
        log_mel: What is known of the log-mel, a dict; None if it was not measured.

    Returns:
        Dict of texts, numbers, lists and dicts, for JSON.
    """
    good, table = facts.good, facts.table
    kept = good.copy()
    kept[list(dropped)] = False
    return {
        "format": "keras_asit audit, version 1",
        "keras_asit": __version__,
        "clips": len(manifest),
        "readable": int(good.sum()),
        "hours": float(facts.seconds.sum() / 3600),
        "kept": {
            "clips": len(manifest) - len(dropped),
            "hours": float(facts.seconds[kept].sum() / 3600),
        },
        "sample_rate": findings.sample_rate,
        "seconds": _quantiles(facts.seconds[good]),
        "rates": _counts(table["rate"][good]),
        "channels": _counts(table["channels"][good]),
        "formats": _named(_counts(table["format"][good]), facts.formats),
        "labels": _labels(manifest),
        "divisions": {
            name: _texts(manifest.columns[name]) for name in divisions(manifest)
        },
        "peak_dbfs": _quantiles(clip_findings.decibels(table["peak"][good])),
        "rms_dbfs": _quantiles(clip_findings.decibels(table["rms"][good])),
        "log_mel": log_mel,
        "thresholds": {
            "silent_peak_dbfs": clip_findings.SILENT_PEAK_DB,
            "clipped_share": clip_findings.CLIPPED_SHARE,
            "clipped_run_samples": clip_facts.CLIPPED_RUN,
            "full_scale": clip_facts.FULL_SCALE,
        },
        "findings": {
            kind: _finding(kind, facts, findings, dropped)
            for kind in clip_findings.KINDS
        },
        "leaks": [
            {
                "shared": leak.shared,
                "across": leak.division,
                "groups": leak.number,
                "clips": int(leak.mask.sum()),
            }
            for leak in findings.leaks
        ],
    }


def _finding(kind, facts, findings, dropped):
    rows = findings.rows[kind].tolist()
    return {
        "meaning": clip_findings.KINDS[kind],
        "clips": len(rows),
        "dropped": sum(dropped.get(row) == kind for row in rows),
        "first": [
            {"path": facts.name(row), "detail": findings.detail(kind, row)}
            for row in rows[:LISTED]
        ],
    }


def _quantiles(values):
    if not len(values):
        return None
    found = np.percentile(values, QUANTILES).tolist()
    named = {f"{q}%": round(x, 4) for q, x in zip(QUANTILES, found, strict=True)}
    return {**named, "mean": round(float(np.mean(values, dtype="float64")), 4)}


def _counts(numbers):
    """Dict of text to count, the most frequent first."""
    values, counts = np.unique(numbers, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return {str(values[i]): int(counts[i]) for i in order}


def _named(counts, names):
    return {names[int(number)]: count for number, count in counts.items()}


def _texts(column):
    """Counts of the texts of a column, sorted by text; `""` for empty ones."""
    part, names = numbered(column)
    counts = np.bincount(part + 1, minlength=len(names) + 1).tolist()
    found = {name: n for name, n in zip(["", *names], counts, strict=True) if n}
    return dict(sorted(found.items()))


def _labels(manifest):
    counts = dict.fromkeys(manifest.class_names, 0)
    without = 0
    for row in range(len(manifest)):
        labels = manifest.label_names(row)
        without += not labels
        for name in labels:
            counts[name] = counts.get(name, 0) + 1
    return {
        "classes": len(counts),
        "many_a_clip": manifest.is_multi_label,
        "without": without,
        "clips": counts,
    }
