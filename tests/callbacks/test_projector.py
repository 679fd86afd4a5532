import numpy as np
import pytest
from google.protobuf import text_format

from keras_asit.callbacks.projector import CONFIG, label_texts, write_projector

pytestmark = pytest.mark.backend_free


def test_files(tmp_path):
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    folder = tmp_path / "run"
    embeddings = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    for _ in range(2):  # the second is in place of the first
        write_projector(folder, embeddings, [0, 1, 1], ["dog", "rain"])
    config = text_format.Parse((folder / CONFIG).read_text(), ProjectorConfig())
    [shown] = config.embeddings
    assert shown.tensor_name == "embeddings"
    rows = np.loadtxt(folder / shown.tensor_path, delimiter="\t")
    np.testing.assert_allclose(rows, embeddings, rtol=1e-5)
    labels = (folder / shown.metadata_path).read_text().splitlines()
    assert labels == ["dog", "rain", "rain"]
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize(
    ("labels", "names", "texts"),
    [
        ([3, 0], None, ["3", "0"]),
        (["dog", "a\tcat\n"], None, ["dog", "a cat"]),
        ([[1, 0, 1], [0, 1, 0]], ["dog", "cat", "rain"], ["dog;rain", "cat"]),
        ([[1, 0], [0, 0]], None, ["0", ""]),
    ],
)
def test_a_line_a_clip(labels, names, texts):
    assert label_texts(labels, names) == texts
