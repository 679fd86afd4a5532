"""Clips that share something across the folds or splits of a manifest."""

import numpy as np

DIVISIONS = ("split", "fold")  # columns that keep training and test apart


class Leak:
    """One way in which clips can leak: what is shared, across which column.

    Args:
        shared: What clips share: `"audio"`, or the name of a column.
        division: `"fold"` or `"split"`.
        groups: Numbers `[N]` of what a clip shares with others; -1 for nothing.
        values: Values `[N]` of the column `division`; `""` for none.
        text: Function of a row: how what it shares is called.

    Attributes:
        mask: Boolean `[N]`: the clips of groups that are in two values or more.
        number: How many groups leak.
    """

    def __init__(self, shared, division, groups, values, text):
        self.shared, self.division = shared, division
        self._groups, self._text = groups, text
        part, names = numbered(values)
        self._order = smallest_first(part, len(names))
        known = (groups >= 0) & (part >= 0)
        lowest, highest = _extremes(groups, self._order, known)
        self.mask = known & (highest[groups] > lowest[groups])
        leaking = groups[self.mask]
        self.number = len(np.unique(leaking))
        self._values = _values_of_groups(leaking, part[self.mask], names)

    def spare(self, standing):
        """Which clips to leave out, so that no group is in two values any more.

        Of each group those in the smallest value, counted in clips, stay: as a rule
        that is the test side.

        Args:
            standing: Mask `[N]` of the clips that were not left out before.

        Returns:
            Boolean `[N]`.
        """
        leaking = self.mask & standing
        lowest, _ = _extremes(self._groups, self._order, leaking)
        return leaking & (self._order > lowest[self._groups])

    def detail(self, row):
        """What a leaking clip shares, and the values in which it is found."""
        values = ", ".join(self._values[int(self._groups[row])])
        return f"{self._text(row)} is in {self.division} {values}"


def leaks(manifest, audio, sounding, good, group=None):
    """Yields a `Leak` for each thing that clips share and each column that divides.

    Args:
        manifest: A `Manifest` `[N]`.
        audio: Hashes `[N]` of the samples.
        sounding: Mask `[N]` of the clips whose samples tell them apart.
        good: Mask `[N]` of the clips that can be read.
        group: Name of a column of what clips may share, or None.
    """
    _, same_audio = np.unique(audio, return_inverse=True)
    shared = [("audio", np.where(sounding, same_audio, -1), lambda row: "this audio")]
    if group is not None:
        column = manifest.columns[group]
        groups = np.where(good, numbered(column)[0], -1)
        shared.append((group, groups, lambda row: f"{group} {column[row]}"))
    for division in divisions(manifest):
        for name, groups, text in shared if division != group else shared[:1]:
            yield Leak(name, division, groups, manifest.columns[division], text)


def divisions(manifest):
    """The columns of `DIVISIONS` that hold two values or more, beside empty ones."""
    columns = [name for name in DIVISIONS if name in manifest.columns]
    return [name for name in columns if len(numbered(manifest.columns[name])[1]) > 1]


def numbered(values):
    """Numbers of texts by first appearance, -1 for none or `""`, and the texts."""
    numbers = {"": -1}
    texts = ("" if value is None else str(value) for value in values)
    coded = (numbers.setdefault(text, len(numbers) - 1) for text in texts)
    return np.fromiter(coded, "int64", len(values)), list(numbers)[1:]


def smallest_first(part, parts):
    """The rank by size, the smallest first, of each clip's part; -1 stays.

    Args:
        part: Numbers `[N]` of parts; -1 for none.
        parts: How many there are.
    """
    sizes = np.bincount(part[part >= 0], minlength=parts)
    rank = np.full(parts + 1, -1)
    rank[np.argsort(sizes, kind="stable")] = np.arange(parts)
    return rank[part]


def _extremes(groups, order, known):
    """Lowest and highest order in each group, and a last entry for group -1."""
    number = int(groups.max(initial=-1)) + 2
    lowest, highest = np.full(number, len(groups)), np.full(number, -1)
    np.minimum.at(lowest, groups[known], order[known])
    np.maximum.at(highest, groups[known], order[known])
    return lowest, highest


def _values_of_groups(groups, part, names):
    """Dict of group to the names of its values, sorted."""
    values = {}
    for group, number in np.unique(np.stack([groups, part], 1), axis=0).tolist():
        values.setdefault(group, []).append(names[number])
    return {group: sorted(found) for group, found in values.items()}
