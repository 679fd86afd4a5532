"""Manifests: which clips there are, and what is known of each of them."""

import os

import numpy as np

from keras_asit.data.clip_paths import Confinement
from keras_asit.data.manifest_error import ManifestError
from keras_asit.data.manifest_text import printable
from keras_asit.data.manifest_writing import write_csv
from keras_asit.data.targets import names_of, targets_of

__all__ = ["OWN_COLUMNS", "Manifest", "ManifestError"]

OWN_COLUMNS = ("path", "label", "labels")  # are not among a manifest's `columns`


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
        allow_outside: Whether clips may lie outside `root`. What a program lists
            itself is trusted; `read_manifest` passes on what it was told.
        multi_label: Whether clips may have several labels, even where none has.

    Attributes:
        labels: Object array `[N]`: strings (`""` without a label) when no
            clip has more than one label, else tuples of strings.
        is_multi_label: Whether some clip has, or may have, more than one label.

    Raises:
        ValueError: for a class name in place of a sequence of them, when labels
            or columns are not as many as paths, or for a column called `path`,
            `label` or `labels`.

    Example:

    >>> clips = Manifest(
    ...     ["1.wav", "2.wav"], [["dog"], ["rain"]], columns={"fold": ["1", "2"]})
    >>> clips.where(fold=2).row(0)
    {'path': '2.wav', 'label': 'rain', 'fold': '2'}
    """

    def __init__(
        self,
        paths,
        label_lists=None,
        class_names=None,
        columns=None,
        root="",
        allow_outside=True,
        multi_label=False,
    ):
        if not allow_outside and not root:
            raise ValueError("Expected a root, which clips are not to leave")
        self.paths = _object_array(paths)
        label_lists = [()] * len(self) if label_lists is None else label_lists
        _check_label_lists(label_lists, len(self))
        if class_names is None:
            class_names = sorted({name for names in label_lists for name in names})
        self.class_names = list(class_names)
        has_several = any(len(names) > 1 for names in label_lists)
        self.is_multi_label = bool(multi_label or has_several)
        if has_several:
            self.labels = _object_array(tuple(names) for names in label_lists)
        else:
            self.labels = _object_array(n[0] if n else "" for n in label_lists)
        self.columns = {k: _object_array(v) for k, v in (columns or {}).items()}
        _check_columns(self.columns, len(self))
        self.root, self.allow_outside = str(root), allow_outside

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
        part.class_names = self.class_names
        part.is_multi_label = self.is_multi_label
        part.root, part.allow_outside = self.root, self.allow_outside
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
        return names_of(self.labels[index])

    def targets(self, class_names=None, multi_label=None):
        """What a classifier is trained towards, as one array.

        Args:
            class_names: Order of the classes; the manifest's by default.
            multi_label: True for multi-hot targets; by default as
                `is_multi_label`.

        Returns:
            int32 `[N]`, or multi-hot float32 `[N, C]`.

        Raises:
            ValueError: for clips with an unknown label, or without a label
                where one class each is needed.
        """
        return self.class_indices(class_names, multi_label).dense()

    def class_indices(self, class_names=None, multi_label=None):
        """The same targets held sparsely, for as many clips as there are.

        Args:
            class_names: As of `targets`.
            multi_label: As of `targets`.

        Returns:
            `Targets`: `[i]` is the target of a clip, `.row(i)` its class numbers.

        Raises:
            ValueError: as `targets`.
        """
        names = self.class_names if class_names is None else list(class_names)
        multi_label = self.is_multi_label if multi_label is None else multi_label
        return targets_of(self.paths, self.labels, names, multi_label)

    def confinement(self):
        """The `Confinement` that a path must pass before it is opened, or None.

        Reading a manifest checks every name, and the links of folders. A link at
        a clip itself costs a look at the disk: a reader asks right before opening.
        """
        return None if self.allow_outside else Confinement(self.root)

    def check_links(self):
        """Look at every clip's link now, where its path alone will be used.

        Raises:
            ManifestError: that lists the clips which links lead out of the folder.
        """
        inside = self.confinement()
        if inside is not None:
            led_out = [path for path in self.paths if not inside.holds(path)]
            if led_out:
                problems = [f"{printable(p)} {inside.refusal(p)}" for p in led_out]
                raise ManifestError(self.root, problems)

    def write_csv(self, path):
        """Write the CSV that `read_manifest` reads: all of it, or nothing.

        Paths are relative to the CSV's folder where they lie in it. Several labels
        of a clip are joined by `;`, in a column `labels`. Class names that no clip
        has are not kept: give `labels` when reading.

        Args:
            path: The file; an existing one is replaced.

        Raises:
            ValueError: a `ManifestError` that lists every text that could not be
                read back, as a class name with `;` in it.
        """
        write_csv(self, os.fspath(path))


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


def _check_columns(columns, clips):
    for name, column in columns.items():
        if name in OWN_COLUMNS:
            raise ValueError(
                f"Expected paths and labels as arguments. Received: a column {name!r}"
            )
        _check_length(f"column {name!r}", column, clips)


def _object_array(values):
    if isinstance(values, np.ndarray) and values.dtype == object and values.ndim == 1:
        return values
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
