"""The audit of a manifest: facts, findings, filterbank statistics, outputs."""

import json
import os

import numpy as np

from keras_asit.audio.reading import RATES
from keras_asit.audit import outputs
from keras_asit.audit.findings import DROPPED, KINDS, Findings
from keras_asit.audit.journal import Journal
from keras_asit.audit.log_mel import describe_log_mel
from keras_asit.audit.measuring import HEADER, measure_clips
from keras_asit.audit.page import page
from keras_asit.audit.report import describe
from keras_asit.data import Manifest, ManifestError, read_manifest
from keras_asit.data.class_list import read_class_list
from keras_asit.data.manifest_writing import unwritable
from keras_asit.data.targets import names_of

FBANK_CLIPS = 4000


def audit(
    source,
    out="runs/audit",
    labels=None,
    allow_outside=False,
    root=None,
    sample_rate=None,
    group=None,
    drop=DROPPED,
    fbank_clips=FBANK_CLIPS,
    seed=0,
    workers=None,
    progress=True,
):
    """Looks at every clip of a manifest, reports, and writes a cleaned manifest.

    It is for the hour before a training: what the clips are, which of them are
    missing, broken, silent, clipped, of another rate, doubled, or on both sides of a
    split, and the mean and deviation that the filterbank normalises with.
    `audit.Findings` defines each finding.

    Written to `out`: `report.html`, `report.json`, `manifest.csv` (without the clips
    that `drop` names) and `labels.csv` (its classes in order), `dropped.csv` and
    `findings.csv` (which clips and why), and `clips.jsonl` and `log_mel.jsonl`, what
    was measured of each clip. A further run measures only what is new, lies
    elsewhere, or has another size or time of change; that also holds after a run
    that was interrupted or killed.

    Args:
        source: A `Manifest`, or what `read_manifest` takes: CSV, JSON, folder.
        out: Folder to write to, of its own: not that of the source or of the clips.
        labels: Every class in order, or a label CSV, as for `read_manifest`.
        allow_outside: Whether clips may lie outside the manifest's folder.
        root: Folder that relative paths start from; None: the manifest's.
        sample_rate: Rate in Hz that clips ought to have, and that the log-mel is
            measured at. None: that of most clips.
        group: Column of what must not be in two folds or splits (source recording,
            speaker). None: `group`, where the manifest has it.
        drop: Kinds of findings whose clips are left out of the cleaned manifest, one
            kind after the other: of copies one stays, of what leaks one side.
        fbank_clips: The log-mel is measured on at most so many of the clips that stay.
            Their mean is known to a hundredth of the deviation or so with a few
            thousand; the report says its standard error.
        seed: Integer that draws these clips.
        workers: Number of threads; None: one a processor.
        progress: Whether to show progress bars.

    Returns:
        The report, as in `report.json`.

    Raises:
        ValueError: If the manifest cannot be used (`ManifestError`), an argument is out
            of range, or `out` is the folder of the source or holds files of these
            names that no audit wrote.

    Example:

    >>> from keras_asit import audit, data
    >>> _ = data.synthetic.write_dataset("clips", splits={"train": 2}, seconds=1.0)
    >>> report = audit.audit("clips/manifest.csv", out="audit", progress=False)
    >>> report["clips"], report["findings"]["duplicate"]["clips"]
    (24, 0)
    """
    if isinstance(source, Manifest):
        manifest = source
    else:
        manifest = read_manifest(
            source, labels=labels, allow_outside=allow_outside, root=root
        )
    if group is None and "group" in manifest.columns:
        group = "group"
    _check(manifest, sample_rate, group, drop, fbank_clips, seed, workers)
    _check_writable(manifest, out)
    outputs.make_folder(out, [manifest.root, *_folders_of(source)])
    with Journal(os.path.join(out, "clips.jsonl"), HEADER) as journal:
        facts = measure_clips(manifest, journal, workers, progress)
    findings = Findings(manifest, facts, sample_rate, group)
    dropped = findings.to_drop(drop)
    stays = np.ones(len(manifest), bool)
    stays[[*dropped]] = False
    rows = np.flatnonzero(facts.good & stays)
    log_mel = None
    if len(rows):
        drawn = np.random.default_rng(seed).permutation(rows)[:fbank_clips]
        log_mel = describe_log_mel(
            os.path.join(out, "log_mel.jsonl"),
            facts,
            rows=np.sort(drawn),
            of_clips=len(rows),
            sample_rate=findings.sample_rate,
            workers=workers,
            progress=progress,
        )
    kept = manifest.take(stays)
    report = {
        "source": os.fspath(source) if isinstance(source, (str, os.PathLike)) else "",
        "read_with": _read_with(kept, out),
        "needs_labels": _needs_labels(kept),
        **describe(manifest, facts, findings, dropped, log_mel),
    }
    _write(out, kept, facts, findings, dropped, report)
    return report


def _check(manifest, sample_rate, group, drop, fbank_clips, seed, workers):
    def require(condition, name, expected, received):
        if not condition:
            raise ValueError(f"{name} is {expected}; received {received!r}.")

    rate_fits = sample_rate is None or RATES[0] <= sample_rate <= RATES[1]
    require(rate_fits, "sample_rate", f"{RATES[0]} to {RATES[1]} Hz", sample_rate)
    columns = sorted(manifest.columns)
    is_column = group is None or group in columns
    require(is_column, "group", f"a column of the manifest, of {columns}", group)
    require(set(drop) <= set(KINDS), "drop", f"of {list(KINDS)}", list(drop))
    require(fbank_clips >= 1, "fbank_clips", "1 or more", fbank_clips)
    require(seed >= 0, "seed", "0 or more", seed)
    require(workers is None or workers >= 1, "workers", "1 or more", workers)
    divided = [name for name in manifest.class_names if ";" in name]
    require(
        not divided,
        "the name of a class",
        "without `;`, which divides names in a manifest (rename these)",
        divided[:3],
    )


def _check_writable(manifest, out):
    """Refuses, before hours of work, what its outputs could not give back."""
    read_class_list(manifest.class_names)
    if problems := unwritable(manifest, os.path.abspath(out)):
        raise ManifestError("for an audit", problems)


def _folders_of(source):
    """The folder of a source that is a file or a folder."""
    if not isinstance(source, (str, os.PathLike)):
        return []
    return [source if os.path.isdir(source) else os.path.dirname(source) or os.curdir]


def _read_with(kept, out):
    """The argument with which `read_manifest` reads the cleaned manifest, if any."""
    inside = os.path.join(os.path.abspath(out), "")
    if all(path.startswith(inside) for path in kept.paths):
        return ""
    return "allow_outside=True" if kept.allow_outside else f"root={kept.root!r}"


def _needs_labels(kept):
    """Whether the cleaned manifest alone would give other classes, or in other order.

    A class may have been given an order, or no clip any more.
    """
    occur = set().union(*map(names_of, set(kept.labels)))
    return kept.class_names != sorted(occur)


def _write(out, kept, facts, findings, dropped, report):
    """Writes the manifest, the lists of clips, and the report; its page at last."""
    kept.write_csv(os.path.join(out, "manifest.csv"))
    outputs.write_labels(kept.class_names, os.path.join(out, "labels.csv"))
    outputs.write_dropped(facts, findings, dropped, os.path.join(out, "dropped.csv"))
    outputs.write_findings(facts, findings, os.path.join(out, "findings.csv"))
    with outputs.replaced(os.path.join(out, "report.json")) as file:
        json.dump(report, file, indent=1)
        file.write("\n")
    with outputs.replaced(os.path.join(out, "report.html")) as file:
        file.write(page(report, facts))
