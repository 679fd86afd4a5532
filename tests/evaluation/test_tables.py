import csv
import math

import numpy as np
import pytest
from sklearn import metrics

from keras_asit import evaluation

pytestmark = pytest.mark.backend_free


def test_a_row_for_each_class_of_several_a_clip():
    rng = np.random.default_rng(0)
    targets, scores = rng.integers(0, 2, (30, 3)), rng.normal(size=(30, 3))
    targets[:, 1] = 0
    rows = evaluation.per_class_table(targets.astype("float32"), scores, list("abc"))
    assert [row["class"] for row in rows] == ["a", "b", "c"]
    assert [row["clips"] for row in rows] == targets.sum(axis=0).tolist()
    for c in (0, 2):
        truth = targets[:, c], scores[:, c]
        area = metrics.roc_auc_score(*truth)
        precision = metrics.average_precision_score(*truth)
        assert rows[c]["average_precision"] == pytest.approx(precision)
        assert rows[c]["auc"] == pytest.approx(area)
        assert rows[c]["d_prime"] == pytest.approx(evaluation.d_prime(area))
    missing = ("average_precision", "auc", "d_prime")
    assert all(math.isnan(rows[1][name]) for name in missing)


def test_a_row_for_each_class_of_one_a_clip():
    rng = np.random.default_rng(0)
    targets, scores = rng.integers(0, 3, 60), rng.normal(size=(60, 5))
    scores[:, 4] = -9  # a class without clips, never predicted; class 3 is predicted
    rows = evaluation.per_class_table(targets, scores)
    assert [row["class"] for row in rows] == list("01234")
    told = scores.argmax(axis=1)
    expected = metrics.precision_recall_fscore_support(
        targets, told, labels=range(5), zero_division=np.nan
    )
    for name, values in zip(("precision", "recall", "f1", "clips"), expected):
        np.testing.assert_allclose([row[name] for row in rows], values, err_msg=name)
    for c, row in enumerate(rows):
        right = np.mean((told == c) == (targets == c))
        assert row["accuracy"] == pytest.approx(right)


ROWS = [
    {"class": "a|b", "clips": 3, "recall": 0.12345},
    {"class": "c, d", "clips": 0, "recall": math.nan},
]


def test_markdown():
    assert evaluation.markdown(ROWS, digits=2).splitlines() == [
        "| class | clips | recall |",
        "|---|---|---|",
        r"| a\|b | 3 | 0.12 |",
        "| c, d | 0 | - |",
    ]


def test_csv_can_be_read_back(tmp_path):
    path = evaluation.write_csv(ROWS, tmp_path / "classes.csv")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows == [
        {"class": "a|b", "clips": "3", "recall": "0.12345"},
        {"class": "c, d", "clips": "0", "recall": ""},
    ]


X = np.ones((4, 2))


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: evaluation.per_class_table(X, X, ["a"]), "2 columns.*received 1"),
        (lambda: evaluation.per_class_table(X * 2, X), "0 or 1"),
        (lambda: evaluation.per_class_table([0, 1, 2, 0], X), "from 0 to 1"),
        (lambda: evaluation.per_class_table([0, 1, 1, 0], X[0]), "rank 2"),
        (lambda: evaluation.markdown([]), "a row at least"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
