"""The facts of all clips, measured in threads and kept between runs."""

import contextlib

import numpy as np
from tqdm import tqdm

from keras_asit.audit.facts import NOT_SEEN, Facts, look_at, refused
from keras_asit.audit.threads import in_order

HEADER = {"format": "keras_asit facts of clips, version 2"}


def measure_clips(manifest, journal, workers=None, progress=True):
    """The facts of clips; those in the journal are not measured again.

    A file is decoded again only where its size or time of change is another one.

    Args:
        manifest: A `Manifest`; the same file may stand in it more than once.
        journal: An open `Journal`.
        workers: Number of threads; None: one a processor.
        progress: Whether to show a progress bar.

    Returns:
        `Facts`.
    """
    paths, confinement = manifest.paths, manifest.confinement()
    facts = Facts(paths, manifest.root)
    first_rows = {}
    for row in range(len(paths)):
        first_rows.setdefault(facts.key(row), row)
    _recall(facts, first_rows, journal, progress)
    rows = np.fromiter(first_rows.values(), "int64", len(first_rows))

    def look(row):
        if confinement is not None and not confinement.holds(paths[row]):
            return row, refused(confinement.refusal(paths[row]))
        return row, look_at(paths[row], facts.stamp(row))

    bar = tqdm(total=len(rows), desc="clips", unit="clip", disable=not progress)
    with bar, contextlib.closing(in_order(look, rows, workers)) as looked_at:
        for row, found in looked_at:
            bar.update()
            if isinstance(found, str):
                continue
            facts.set(row, found)
            if found is not None and "passing" not in found:
                journal.append({"path": facts.key(row), **found})
    for row in np.flatnonzero(facts.table["state"] == NOT_SEEN):
        facts.copy(first_rows[facts.key(row)], row)
    return facts


def _recall(facts, first_rows, journal, progress):
    """Enters what an earlier run found; later lines of a clip replace earlier ones."""
    for entry in tqdm(
        journal.entries(), desc="known", unit="clip", delay=5, disable=not progress
    ):
        row = first_rows.get(str(entry.get("path")))
        if row is None:
            continue
        try:
            facts.set(row, entry)
        except (KeyError, TypeError, ValueError, OverflowError):
            facts.forget(row)  # a damaged line
