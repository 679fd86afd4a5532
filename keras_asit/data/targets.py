"""What a classifier is trained towards, held sparsely."""

import hashlib
from itertools import chain

import numpy as np

from keras_asit.data.manifest_error import ManifestError


class Targets:
    """The classes of each clip: a number, or a multi-hot row made when asked for.

    Multi-hot float32 targets of AudioSet's two million clips and 527 classes would
    take 4.2 GB. These take 8 bytes a clip and 4 a label: compressed sparse rows.

    Args:
        indptr: int64 `[N + 1]`: the classes of clip `i` are
            `indices[indptr[i]:indptr[i + 1]]`.
        indices: int32 numbers of classes, one clip after the other.
        num_classes: Number of classes.
        multi_label: Whether a target is multi-hot; else each clip has one class.

    Attributes:
        shape: Shape of one target: `()`, or `(num_classes,)` where multi-hot.
        dtype: Dtype of one target: `"int32"`, or `"float32"` where multi-hot.

    Example:

    >>> targets = Targets(np.array([0, 2, 3]), np.array([0, 2, 1]), 3, True)
    >>> targets[0], targets.row(0)
    (array([1., 0., 1.], dtype=float32), array([0, 2], dtype=int32))
    """

    def __init__(self, indptr, indices, num_classes, multi_label):
        self.indptr = np.asarray(indptr, "int64")
        self.indices = np.asarray(indices, "int32")
        self.num_classes, self.multi_label = num_classes, multi_label
        self.shape = (num_classes,) if multi_label else ()
        self.dtype = np.dtype("float32" if multi_label else "int32")

    def __len__(self):
        return len(self.indptr) - 1

    def __getitem__(self, index):
        """The target of one clip: an int32 number, or a float32 row `[C]`."""
        numbers = self.row(index)
        if not self.multi_label:
            return numbers[0]
        target = np.zeros(self.shape, self.dtype)
        target[numbers] = 1.0
        return target

    def row(self, index):
        """The numbers of the classes of one clip, int32: none, one or many."""
        if not 0 <= index < len(self):
            raise IndexError(f"Expected a clip below {len(self)}. Received: {index}")
        return self.indices[self.indptr[index] : self.indptr[index + 1]]

    @property
    def identity(self):
        """A text that is another for other targets."""
        digest = hashlib.sha256(f"{self.num_classes} {self.multi_label}".encode())
        for numbers in (self.indptr, self.indices):
            digest.update(numbers.tobytes())
        return digest.hexdigest()[:16]

    def dense(self):
        """All targets at once: int32 `[N]`, or multi-hot float32 `[N, C]`."""
        if not self.multi_label:
            return self.indices.copy()
        targets = np.zeros((len(self), *self.shape), self.dtype)
        clips = np.repeat(np.arange(len(self)), np.diff(self.indptr))
        targets[clips, self.indices] = 1.0
        return targets


def names_of(label):
    """The class names in a label of `Manifest.labels`, as a tuple."""
    if isinstance(label, tuple):
        return label
    return (label,) if label else ()


def targets_of(paths, labels, class_names, multi_label):
    """The `Targets` of clips by their labels.

    Equal labels are looked up once: a set has far fewer of them than clips.

    Args:
        paths: Paths of the clips, to name them in errors.
        labels: A string (`""` without a label) or a tuple of strings each.
        class_names: Order of the classes.
        multi_label: Whether a clip may have any number of classes, not just one.

    Raises:
        ManifestError: a `ValueError` that lists every clip with an unknown label,
            or without a label where one class each is needed.
    """
    number = {name: i for i, name in enumerate(class_names)}
    if len(number) != len(class_names):
        twice = sorted({name for name in class_names if class_names.count(name) > 1})
        raise ValueError(f"Expected each class name once. Received twice: {twice}")
    numbers, faults = {}, {}
    for label in set(labels):
        names = names_of(label)
        known = (number[name] for name in names if name in number)
        numbers[label] = tuple(dict.fromkeys(known))
        if found := _faults(names, number, multi_label):
            faults[label] = found
    if faults:
        problems = [
            f"{path}: {fault}"
            for path, label in zip(paths, labels)
            for fault in faults.get(label, ())
        ]
        raise ManifestError("for its targets", problems)
    rows = [numbers[label] for label in labels]
    indptr = np.zeros(len(rows) + 1, "int64")
    np.cumsum(np.fromiter(map(len, rows), "int64", len(rows)), out=indptr[1:])
    indices = np.fromiter(chain.from_iterable(rows), "int32", indptr[-1])
    return Targets(indptr, indices, len(number), multi_label)


def _faults(names, number, multi_label):
    faults = []
    if not multi_label and len(names) != 1:
        faults.append(f"expected one label, received {list(names)}")
    unknown = [name for name in names if name not in number]
    if unknown:
        faults.append(f"{unknown} not among the {len(number)} classes")
    return faults
