"""What every kind of source fills: a table of clips, checked as it comes in."""

import os
from array import array
from collections import Counter

from keras_asit.data.clip_paths import Confinement, resolve
from keras_asit.data.manifest import Manifest
from keras_asit.data.manifest_error import ManifestError
from keras_asit.data.manifest_text import cell_fault, printable

BLOCK = 1000  # rows that a source hands over at a time: they fit the processor's cache
_OFTEN_EQUAL = 10_000  # different cells do not prove that a column's cells are unique
_LINKS_LOOKED_UP = 10_000  # clips of a set whose own links are looked up at once


class ClipTable:
    """Rows of a source by columns, with all that is wrong with them.

    Two million rows fit because a row exists for a moment only, and because equal
    cells of a column are one object.

    Args:
        root: The folder that relative paths start from.
        allow_outside: Whether clips may lie outside it.
        aliases: Dict of every spelling of a class to its name; None takes names as
            they come.

    Attributes:
        aliases: As given.
        name_row: Function of the number of a row: how a problem calls that row.
        without_rows: The problem of a source that has no rows.
        divider: What stands between the names in the text of a label.
        multi_label: As of `Manifest`.
        paths: Those of the rows so far, absolute.
    """

    def __init__(self, root, allow_outside, aliases=None):
        self.name_row = "row {}".format
        self.without_rows = "no rows: expected at least one clip"
        self.divider, self.multi_label = ";", False
        self.root, self.allow_outside = os.path.abspath(root), allow_outside
        self._confinement = None if allow_outside else Confinement(root)
        self.aliases, self._names = aliases, {}
        self._known_labels, self._label_faults = {}, {}
        self.paths = []
        self._rows, self._label_lists, self._columns = array("q"), [], {}
        self._problems, self._refused = [], set()

    def problem(self, text, row=None):
        """Note what is wrong with a row, or with the whole source."""
        named = text if row is None else f"{self.name_row(row)}: {text}"
        self._problems.append((-1 if row is None else row, named))

    def add(self, rows, paths, labels, columns):
        """Take up a block of rows.

        Args:
            rows: Their numbers, rising.
            paths: Paths as written, strings.
            labels: Text with names and dividers, or a tuple of names, each.
            columns: Dict of the other columns, strings. Each block has the same.
                Spaces around a cell are no part of it: " 1" and "1" are one fold.
        """
        resolved = resolve(paths, self.root)
        self._rows.extend(rows)
        self.paths += resolved
        self._check_texts(rows, paths)
        self._check_names(rows, paths, resolved)
        self._add_labels(rows, labels)
        for name, cells in columns.items():
            cells = [*map(str.strip, cells)]
            self._check_cells(rows, name, cells)
            self._columns.setdefault(name, _Column()).extend(cells)

    def manifest(self, source, class_names=None):
        """The whole as a `Manifest`.

        Args:
            source: What the table was read from, as errors call it.
            class_names: Every class in order; by default those that occur.

        Raises:
            ManifestError: a `ValueError` with all problems, in the order of the rows.
        """
        if not self.paths and not self._problems:
            self.problem(self.without_rows)
        self._check_links()
        self._check_repeats()
        if self._problems:
            self._problems.sort(key=lambda problem: problem[0])
            raise ManifestError(source, [text for _, text in self._problems])
        columns = {name: column.cells for name, column in self._columns.items()}
        return Manifest(
            self.paths,
            self._label_lists,
            class_names,
            columns,
            self.root,
            self.allow_outside,
            self.multi_label,
        )

    def _refuse(self, row, text):
        self._refused.add(row)
        self.problem(text, row)

    def _check_texts(self, rows, paths):
        if all(map(str.strip, paths)) and not cell_fault("".join(paths)):
            return
        for row, path in zip(rows, paths):
            if not path.strip():
                self._refuse(row, "the path is empty")
            elif fault := cell_fault(path):
                self._refuse(row, f"{fault} in the path {printable(path)}")

    def _check_cells(self, rows, name, cells):
        if cell_fault("".join(cells)):
            for row, cell in zip(rows, cells):
                if fault := cell_fault(cell):
                    self.problem(f"{fault} in {name} {printable(cell)}", row)

    def _check_names(self, rows, paths, resolved):
        if self._confinement is None:
            return
        holds_name = self._confinement.holds_name
        if all(map(holds_name, resolved)):
            return
        for row, path, full in zip(rows, paths, resolved):
            if row not in self._refused and not holds_name(full):
                refusal = self._confinement.refusal(full)
                self._refuse(row, f"{printable(path)} {refusal}")

    def _check_links(self):
        """Those of folders; those of the clips too where that takes no time."""
        if self._confinement is None:
            return
        holds = self._confinement.holds
        if len(self.paths) > _LINKS_LOOKED_UP:
            folders = {path.rpartition(os.sep)[0] for path in self.paths}
            if all(map(self._confinement.holds_folder, folders)):
                return
            holds = self._confinement.holds_folder_of
        for row, path in zip(self._rows, self.paths):
            if row not in self._refused and not holds(path):
                refusal = self._confinement.refusal(path)
                self._refuse(row, f"{self._shown(path)} {refusal}")

    def _check_repeats(self):
        if len(set(self.paths)) == len(self.paths):
            return
        first = {}
        for row, path in zip(self._rows, self.paths):
            if row in self._refused:
                continue
            if first.setdefault(path, row) != row:
                where = self.name_row(first[path])
                text = f"{self._shown(path)} is also in {where}: it would count twice"
                self.problem(text, row)

    def _shown(self, path):
        return printable(path.removeprefix(self.root.rstrip(os.sep) + os.sep))

    def _add_labels(self, rows, labels):
        known = self._known_labels
        for label in set(labels).difference(known):
            known[label] = self._names_in(label)
        self._label_lists += map(known.__getitem__, labels)
        if self._label_faults:
            for row, label in zip(rows, labels):
                if label in self._label_faults:
                    self.problem(self._label_faults[label], row)

    def _names_in(self, label):
        """The names of a label, each once; equal names are one object."""
        names = label.split(self.divider) if isinstance(label, str) else label
        names = dict.fromkeys(filter(None, map(str.strip, names)))
        if fault := cell_fault("".join(names)):
            self._label_faults[label] = f"{fault} in the labels {list(names)}"
        if self.aliases is None or fault:
            return tuple(self._names.setdefault(name, name) for name in names)
        if unknown := [name for name in names if name not in self.aliases]:
            self._label_faults[label] = f"unknown labels {unknown}"
        return tuple(dict.fromkeys(self.aliases.get(name, name) for name in names))


class _Column:
    """Cells, equal ones as one object while many of them are equal."""

    def __init__(self):
        self.cells, self._known = [], {}

    def extend(self, cells):
        if self._known is None:
            self.cells += cells
            return
        self.cells += map(self._known.setdefault, cells, cells)
        if len(self._known) > max(_OFTEN_EQUAL, len(self.cells) // 2):
            self._known = None  # a number for each clip, say


def header_problems(names):
    """What is wrong with the names of the columns of a source, as texts."""
    problems = []
    if "path" not in names:
        problems.append(f"expected a column `path`, received the columns {names}")
    problems += [
        f"column {i} has no name (pandas writes one unless index=False)"
        for i, name in enumerate(names, 1)
        if not name
    ]
    problems += [
        f"a line break in the name of column {i}, {printable(name)}"
        for i, name in enumerate(names, 1)
        if "\n" in name or "\r" in name
    ]
    problems += [
        f"{count} columns are called {name!r}"
        for name, count in Counter(names).items()
        if name and count > 1
    ]
    if "label" in names and "labels" in names:
        problems.append("columns `label` and `labels`: expected one of them")
    return problems
