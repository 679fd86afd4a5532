"""Manifests: which clips there are, and what is known of each of them."""

import numpy as np

_SHOWN_PROBLEMS = 20


class ManifestError(ValueError):
    """All that is wrong with a manifest, at once.

    Args:
        source: The file or folder that was read.
        problems: List of strings, one problem each, kept in full as
            `problems`; the message shows the first 20.
    """

    def __init__(self, source, problems):
        self.source, self.problems = str(source), list(problems)
        lines = self.problems[:_SHOWN_PROBLEMS]
        if len(self.problems) > len(lines):
            lines.append(f"and {len(self.problems) - len(lines)} more problems")
        super().__init__("\n  ".join([f"Cannot use the manifest {source}:", *lines]))


class Manifest:
    """A table of clips, held by columns so that millions of rows fit.

    Args:
        paths: Absolute paths of the clips, `N` strings.
        label_lists: `N` sequences of class names: none, one or many a clip.
        class_names: Every class, in the order of the targets. By default
            those that occur, sorted.
        columns: Dict of the other columns (fold, split, speaker, ...), each
            `N` strings.
        root: Folder that relative paths were resolved against.

    Attributes:
        labels: Object array `[N]`: strings (`""` without a label) when no
            clip has more than one label, else tuples of strings.

    Raises:
        ValueError: for a class name in place of a sequence of them, or when
            labels or columns are not as many as paths.
    """

    def __init__(
        self, paths, label_lists=None, class_names=None, columns=None, root=""
    ):
        self.paths = _object_array(paths)
        label_lists = [()] * len(self) if label_lists is None else label_lists
        _check_label_lists(label_lists, len(self))
        if class_names is None:
            class_names = sorted({name for names in label_lists for name in names})
        self.class_names = list(class_names)
        if any(len(names) > 1 for names in label_lists):
            self.labels = _object_array(tuple(names) for names in label_lists)
        else:
            self.labels = _object_array(n[0] if n else "" for n in label_lists)
        self.columns = {k: _object_array(v) for k, v in (columns or {}).items()}
        for name, column in self.columns.items():
            _check_length(f"column {name!r}", column, len(self))
        self.root = str(root)

    def __len__(self):
        return len(self.paths)

    def __repr__(self):
        return f"<Manifest: {len(self)} clips, {len(self.class_names)} classes>"

    def row(self, index):
        """One clip as a dict: path, label, and the other columns."""
        columns = {name: column[index] for name, column in self.columns.items()}
        return {"path": self.paths[index], "label": self.labels[index], **columns}

    def take(self, indices):
        """The clips at `indices` (or under a mask), with the same class names."""
        part = object.__new__(Manifest)
        part.paths, part.labels = self.paths[indices], self.labels[indices]
        part.columns = {k: column[indices] for k, column in self.columns.items()}
        part.class_names, part.root = self.class_names, self.root
        return part

    def where(self, **conditions):
        """The clips whose columns meet every condition.

        Args:
            conditions: By column name (`path` and `label` too): a value,
                compared as text; a list, tuple or set of values; or a
                function of the value.

        Returns:
            A `Manifest` with the same class names.

        Raises:
            ValueError: for an unknown column, or when nothing is left.

        Example:
            train = manifest.where(fold=lambda fold: fold != "1")
        """
        table = {**self.columns, "path": self.paths, "label": self.labels}
        keep = np.ones(len(self), dtype=bool)
        for name, condition in conditions.items():
            if name not in table:
                raise ValueError(f"Expected one of {sorted(table)}. Received: {name!r}")
            test = _as_test(condition)
            keep &= np.fromiter((test(v) for v in table[name]), bool, len(self))
        if not keep.any():
            values = {k: sorted(set(map(str, table[k])))[:10] for k in conditions}
            asked = {
                k: "a condition" if callable(c) else c for k, c in conditions.items()
            }
            raise ValueError(f"No clip meets {asked}. There are values {values}")
        return self.take(keep)

    def label_names(self, index):
        """The class names of one clip as a tuple: none, one or many."""
        label = self.labels[index]
        if isinstance(label, tuple):
            return label
        return (label,) if label else ()

    @property
    def is_multi_label(self):
        """Whether some clip has more than one label."""
        return any(isinstance(label, tuple) for label in self.labels[:1])

    def targets(self, class_names=None, multi_label=None):
        """What a classifier is trained towards.

        Args:
            class_names: Order of the classes; the manifest's by default.
            multi_label: True for multi-hot targets; by default when some
                clip has more than one label.

        Returns:
            int32 `[N]`, or multi-hot float32 `[N, C]`.

        Raises:
            ValueError: for clips with an unknown label, or without a label
                where one class each is needed.
        """
        names = self.class_names if class_names is None else list(class_names)
        number = {name: i for i, name in enumerate(names)}
        multi_label = self.is_multi_label if multi_label is None else multi_label
        rows = [self.label_names(i) for i in range(len(self))]
        _check_targets(self.paths, rows, number, multi_label)
        if not multi_label:
            return np.array([number[row[0]] for row in rows], "int32")
        targets = np.zeros((len(self), len(names)), "float32")
        for i, row in enumerate(rows):
            targets[i, [number[name] for name in row]] = 1.0
        return targets


def _check_label_lists(label_lists, clips):
    _check_length("label_lists", label_lists, clips)
    for names in label_lists:
        if isinstance(names, str):
            raise ValueError(
                "Expected a sequence of class names for each clip. "
                f"Received: {names!r}. Write ({names!r},)"
            )


def _check_length(what, values, clips):
    if len(values) != clips:
        raise ValueError(
            f"Expected {what} to have one entry for each of {clips} paths. "
            f"Received: {len(values)} entries. Give as many as paths"
        )


def _object_array(values):
    values = list(values)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _as_test(condition):
    if callable(condition):
        return condition
    many = isinstance(condition, (list, tuple, set, frozenset, np.ndarray))
    wanted = {str(value) for value in (condition if many else [condition])}
    return lambda v: not wanted.isdisjoint(v if isinstance(v, tuple) else (str(v),))


def _check_targets(paths, rows, number, multi_label):
    problems = []
    for path, row in zip(paths, rows, strict=True):
        if not multi_label and len(row) != 1:
            problems.append(f"{path}: expected one label, received {list(row)}")
        unknown = [name for name in row if name not in number]
        if unknown:
            problems.append(f"{path}: {unknown} not among the {len(number)} classes")
    if problems:
        raise ManifestError("for its targets", problems)
