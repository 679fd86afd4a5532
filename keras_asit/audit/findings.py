"""What is wrong with the clips of a manifest, from their facts alone."""

import numpy as np

from keras_asit.audit.facts import BROKEN, MISSING
from keras_asit.audit.leaks import leaks, numbered, smallest_first
from keras_asit.data.targets import names_of

SILENT_PEAK_DB = -60.0  # dBFS; 33 steps of 16 bit
CLIPPED_SHARE = 0.001  # of the samples, in runs at full scale

# Every kind of finding, as it is written in the outputs.
KINDS = {
    "missing": "no such file",
    "broken": "cannot be read as audio",
    "silent": f"peak below {SILENT_PEAK_DB:g} dBFS",
    "clipped": f"{CLIPPED_SHARE:.1%} or more of the samples in runs at full scale",
    "wrong-rate": "another sample rate; resampled when read",
    "duplicate": "further copy of the same audio",
    "leaking": "same audio or group in two folds or splits",
}
DROPPED = ("missing", "broken", "silent", "duplicate")


class Findings:
    """The rows of each kind of finding, and what is to be said of a row.

    - missing, broken: as `audio.read` sees the file.
    - silent: no sample is farther from the mean than -60 dBFS.
    - clipped: 0.1 % or more of the samples lie at full scale in runs of 3 or more.
    - wrong-rate: another rate than `sample_rate`, or, where that is None, than that of
      most clips.
    - duplicate: all but one of the clips with the same samples. The copy in the
      smallest split is kept (so that a test set stays whole), then the first. Silent
      clips are left out: all digital silence is the same.
    - leaking: the same samples, or the same value of the group column, in two values
      of a column `split` or `fold`.

    Args:
        manifest: A `Manifest` `[N]`.
        facts: Their `Facts`.
        sample_rate: The rate in Hz that was asked for, or None.
        group: Name of a column, or None.

    Attributes:
        rows: Dict of kind to row numbers, in order.
        sample_rate: The rate in Hz that clips ought to have; None if none can be read.
        leaks: A `Leak` for each way in which clips could leak.
    """

    def __init__(self, manifest, facts, sample_rate=None, group=None):
        table, good = facts.table, facts.good
        self._facts, self._labels = facts, manifest.labels
        silent = good & (table["peak"] < 10 ** (SILENT_PEAK_DB / 20))
        sounding = good & ~silent
        self.sample_rate = (
            sample_rate
            or _most_frequent(table["rate"][sounding])
            or _most_frequent(table["rate"][good])
        )
        self._sounding, self._rank = sounding, _split_rank(manifest)
        self._kept = _kept_copies(table["audio"], sounding, self._rank)
        self.leaks = list(leaks(manifest, table["audio"], sounding, good, group))
        masks = {
            "missing": table["state"] == MISSING,
            "broken": table["state"] == BROKEN,
            "silent": silent,
            "clipped": sounding & (table["clipped"] >= CLIPPED_SHARE),
            "wrong-rate": good & (table["rate"] != (self.sample_rate or 0)),
            "duplicate": self._kept >= 0,
            "leaking": _any([leak.mask for leak in self.leaks], len(manifest)),
        }
        self.rows = {kind: np.flatnonzero(masks[kind]) for kind in KINDS}

    def detail(self, kind, row):
        """What a finding says of a clip; of a duplicate the name of the kept copy."""
        facts = self._facts.table[row]
        if kind == "broken":
            return self._facts.reasons[row]
        if kind == "silent":
            return f"peak {decibels(facts['peak']):.1f} dBFS"
        if kind == "clipped":
            return f"{facts['clipped']:.2%} of the samples at full scale"
        if kind == "wrong-rate":
            return f"{facts['rate']} Hz, not {self.sample_rate} Hz"
        if kind == "duplicate":
            kept = self._kept[row]
            one, other = (set(names_of(self._labels[i])) for i in (row, kept))
            labels = "" if one == other else "; labels differ"
            return f"as {self._facts.name(kept)}{labels}"
        if kind == "leaking":
            told = [leak.detail(row) for leak in self.leaks if leak.mask[row]]
            return "; ".join(told)
        return KINDS[kind]

    def to_drop(self, kinds):
        """The rows to leave out, each with the kind that it is left out for.

        Kind by kind in the order of `KINDS`, and leak by leak, only the clips that
        still stand count: of copies one stays, and of clips that leak those in the
        smallest of their folds or splits.

        Args:
            kinds: Names of kinds; a row of several is named by the first in `KINDS`.

        Returns:
            Dict of row to kind, in the order of the rows.
        """
        standing, found = np.ones(len(self._labels), bool), {}
        for kind in (kind for kind in KINDS if kind in kinds):
            for spare in self._spare(kind, standing):
                rows = np.flatnonzero(spare & standing)
                found.update(dict.fromkeys(rows.tolist(), kind))
                standing[rows] = False
        return dict(sorted(found.items()))

    def _spare(self, kind, standing):
        """Yields masks `[N]` of what to leave out; `standing` changes in between."""
        if kind == "leaking":
            yield from (leak.spare(standing) for leak in self.leaks)
        elif kind == "duplicate":
            sounding = self._sounding & standing
            audio = self._facts.table["audio"]
            yield _kept_copies(audio, sounding, self._rank) >= 0
        else:
            mask = np.zeros(len(standing), bool)
            mask[self.rows[kind]] = True
            yield mask


def decibels(level):
    """A level, 1 at full scale, in dBFS; -120 for all below that."""
    return 20 * np.log10(np.maximum(level, 1e-6))


def _any(masks, number):
    return np.any(masks, axis=0) if masks else np.zeros(number, bool)


def _most_frequent(rates):
    """The most frequent rate, the highest of several; None of none."""
    if not len(rates):
        return None
    values, counts = np.unique(rates, return_counts=True)
    return int(values[counts == counts.max()].max())


def _split_rank(manifest):
    """Rank `[N]` of each clip's split by its size; those without one come last."""
    part, names = numbered(manifest.columns.get("split", [""] * len(manifest)))
    rank = smallest_first(part, len(names))
    return np.where(rank < 0, len(names), rank)


def _kept_copies(audio, sounding, rank):
    """For each further copy `[N]` the row of the kept one; -1 for all other clips."""
    rows = np.flatnonzero(sounding)
    rows = rows[np.lexsort((rows, rank[rows], audio[rows]))]
    is_first = np.diff(audio[rows], prepend=audio[rows[:1]] ^ np.uint64(1)) != 0
    kept = np.full(len(audio), -1)
    kept[rows[~is_first]] = rows[is_first][np.cumsum(is_first) - 1][~is_first]
    return kept
