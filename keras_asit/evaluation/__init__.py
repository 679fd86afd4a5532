"""How good scores and embeddings are: functions of arrays."""

from keras_asit.evaluation.classification import accuracy, confusion_matrix
from keras_asit.evaluation.probes import (
    knn_accuracy,
    linear_probe,
    log_mel_statistics,
)
from keras_asit.evaluation.ranking import (
    auc,
    average_precision,
    d_prime,
    mean_auc,
    mean_average_precision,
)
from keras_asit.evaluation.tables import markdown, per_class_table, write_csv

__all__ = [
    "accuracy",
    "auc",
    "average_precision",
    "confusion_matrix",
    "d_prime",
    "knn_accuracy",
    "linear_probe",
    "log_mel_statistics",
    "markdown",
    "mean_auc",
    "mean_average_precision",
    "per_class_table",
    "write_csv",
]
