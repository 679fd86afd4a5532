"""The files that TensorBoard's embedding projector reads."""

import os
from pathlib import Path

import numpy as np

CONFIG = "projector_config.pbtxt"  # the name that TensorBoard looks for


def write_projector(folder, embeddings, labels, class_names=None, name="embeddings"):
    """Writes embeddings with their labels for the projector.

    Args:
        folder: Path of the run's folder of event files.
        embeddings: `(N, D)` array.
        labels: `(N,)` classes, as numbers or names, or multi-hot `(N, C)`.
        class_names: Names of the classes, by number.
        name: What the projector calls them.
    """
    from google.protobuf import text_format
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = f"{name}.tsv", f"{name}-labels.tsv"
    rows = ("\t".join(f"{value:.6g}" for value in row) for row in embeddings)
    _replace(folder / files[0], rows)
    _replace(folder / files[1], label_texts(labels, class_names))
    config = ProjectorConfig()
    config.embeddings.add(
        tensor_name=name, tensor_path=files[0], metadata_path=files[1]
    )
    _replace(folder / CONFIG, [text_format.MessageToString(config)])


def label_texts(labels, class_names=None):
    """A line a clip; `dog;rain` where it has several classes."""
    labels = np.asarray(labels)
    if labels.ndim == 1:
        rows = [[label] for label in labels.tolist()]
    else:
        rows = [np.flatnonzero(row).tolist() for row in labels]
    named = (";".join(_text(label, class_names) for label in row) for row in rows)
    return [" ".join(text.split()) for text in named]  # no tabs, no new lines


def _text(label, class_names):
    return str(label if class_names is None else class_names[label])


def _replace(path, lines):
    """A file that is the old one or the new one, whenever it is read."""
    part = path.with_name(path.name + ".part")
    part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    os.replace(part, path)
