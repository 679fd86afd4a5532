"""How good scores are for each class, as a table."""

import csv
from pathlib import Path

import numpy as np

from keras_asit.evaluation.arrays import finite
from keras_asit.evaluation.classification import confusion_matrix
from keras_asit.evaluation.ranking import auc, average_precision, d_prime


def per_class_table(targets, scores, class_names=None):
    """The measures of each class, a row a class.

    Args:
        targets: `(N, C)` of 0 and 1 where clips have several classes, `(N,)` integers
            where each has one.
        scores: `(N, C)`: logits or probabilities.
        class_names: C names; numbers where not given.

    Returns:
        A list of C dictionaries, for `markdown`, `write_csv` or a DataFrame, each with
        `class` and `clips`, the number of clips of the class. Of several classes a
        clip: `average_precision`, `auc`, `d_prime`. Of one class a clip: `precision`,
        `recall`, `f1`, and `accuracy`, the share of all clips that are told rightly to
        be of the class or not; what is often called the accuracy of a class is its
        recall. NaN is what is not defined, for example the recall of a class without
        clips or the precision of one that was never predicted.

    Raises:
        ValueError: If the shapes do not fit, a target is no class, a score is not
            finite, or there is not a name for every class.

    Example:

    >>> targets = [[1, 0], [0, 1], [1, 1]]
    >>> scores = [[0.9, 0.8], [0.1, 0.2], [0.8, 0.9]]
    >>> rows = per_class_table(targets, scores, ["dog", "rain"])
    >>> print(markdown(rows))
    | class | clips | average_precision | auc | d_prime |
    |---|---|---|---|---|
    | dog | 2 | 1.000 | 1.000 | inf |
    | rain | 2 | 0.833 | 0.500 | 0.000 |
    """
    scores = finite("scores", scores, 2)
    names = list(range(scores.shape[1]) if class_names is None else class_names)
    if len(names) != scores.shape[1]:
        raise ValueError(
            f"class_names has a name for each of the {scores.shape[1]} columns of the "
            f"scores; received {len(names)}."
        )
    measured = _ranked if np.ndim(targets) == 2 else _told
    columns = {"class": [str(name) for name in names], **measured(targets, scores)}
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


def _ranked(targets, scores):
    """Columns where a clip can have several classes."""
    area = auc(targets, scores)
    return {
        "clips": np.sum(targets, axis=0, dtype="int64").tolist(),
        "average_precision": average_precision(targets, scores).tolist(),
        "auc": area.tolist(),
        "d_prime": d_prime(area).tolist(),
    }


def _told(targets, scores):
    """Columns where a clip has one class."""
    matrix = confusion_matrix(targets, scores)
    clips, told, right = matrix.sum(axis=1), matrix.sum(axis=0), np.diag(matrix)
    wrong = clips + told - 2 * right
    return {
        "clips": clips.tolist(),
        "precision": _share(right, told),
        "recall": _share(right, clips),
        "f1": _share(2 * right, clips + told),
        "accuracy": (1 - wrong / clips.sum()).tolist(),
    }


def _share(part, whole):
    """`part / whole` as a list, NaN where there is no whole."""
    undefined = np.full(len(whole), np.nan)
    return np.divide(part, whole, out=undefined, where=whole > 0).tolist()


def markdown(rows, digits=3):
    """A table as Markdown, what is not defined as `-`.

    Args:
        rows: A list of dictionaries with the same keys, as of `per_class_table`.
        digits: Digits after the point of numbers that are not whole.

    Raises:
        ValueError: If there is no row.

    Example:

    >>> print(markdown([{"class": "dog", "clips": 3, "recall": 2 / 3}], digits=2))
    | class | clips | recall |
    |---|---|---|
    | dog | 3 | 0.67 |
    """
    names = _names(rows)
    lines = [names, *([_written(row[name], digits) for name in names] for row in rows)]
    lines = [f"| {' | '.join(cells)} |" for cells in lines]
    return "\n".join([lines[0], "|" + "---|" * len(names), *lines[1:]])


def _written(value, digits):
    if isinstance(value, float):
        return "-" if np.isnan(value) else f"{value:.{digits}f}"
    return str(value).replace("|", r"\|")


def write_csv(rows, path):
    """Writes a table as CSV with all digits and returns its path.

    What is not defined is an empty cell.

    Args:
        rows: A list of dictionaries with the same keys, as of `per_class_table`.
        path: The file.

    Raises:
        ValueError: If there is no row.

    Example:

    >>> path = write_csv([{"class": "dog, barking", "recall": 0.5}], "classes.csv")
    >>> print(path.read_text())
    class,recall
    "dog, barking",0.5
    <BLANKLINE>
    """
    names = _names(rows)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(names)
        for row in rows:
            writer.writerow("" if row[n] != row[n] else row[n] for n in names)
    return Path(path)


def _names(rows):
    if not rows:
        raise ValueError("Expected a row at least; received none.")
    return list(rows[0])
