"""What is written is what TensorBoard's own reader finds."""

import contextlib
import io
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from keras_asit import pictures
from keras_asit.callbacks.event_file import EventFile, need_tensorboard
from reading_events import read_events

pytestmark = pytest.mark.backend_free


def scalars(folder, tag):
    return [(event.step, event.value) for event in read_events(folder).Scalars(tag)]


def test_scalars_and_pictures(tmp_path):
    file = EventFile(tmp_path / "new" / "folder")
    file.write_scalars({"loss": 1.5, "rate": np.float32(0.25)}, 3)
    file.write_scalars({"loss": 1.25}, 4)
    file.write_scalars({}, 5)
    png = pictures.png(Figure(figsize=(2, 1)))
    file.write_picture("picture", png, 4)
    # Before it is closed: the run may be killed.
    assert scalars(file.folder, "loss") == [(3, 1.5), (4, 1.25)]
    assert scalars(file.folder, "rate") == [(3, 0.25)]
    [image] = read_events(file.folder).Images("picture")
    assert (image.width, image.height, image.step) == (220, 110, 4)
    assert Image.open(io.BytesIO(image.encoded_image_string)).size == (220, 110)
    file.close()
    assert len(os.listdir(file.folder)) == 1


def test_what_a_killed_run_wrote_after_its_checkpoint_is_not_shown(tmp_path):
    killed = EventFile(tmp_path)
    for step in range(1, 6):
        killed.write_scalars({"loss": step}, step)
    killed.close()  # and the next begins within the same second
    resumed = EventFile(tmp_path, first_step=4)  # 3 steps are in its checkpoint
    resumed.write_scalars({"loss": 40.0}, 4)
    resumed.close()
    assert scalars(tmp_path, "loss") == [(1, 1), (2, 2), (3, 3), (4, 40)]


@contextlib.contextmanager
def disk_full_after(size):
    """No file of this process grows beyond a size: writes fail half-way."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_after_a_full_disk_it_goes_on_in_another_file(tmp_path):
    file = EventFile(tmp_path)
    file.write_scalars({"loss": 1.0}, 1)
    size = file._file.tell() + 10
    with disk_full_after(size), pytest.raises(OSError):
        file.write_scalars({"loss": 2.0}, 2)
    assert next(tmp_path.iterdir()).stat().st_size == size - 10
    file.write_scalars({"loss": 3.0}, 3)
    file.close()
    assert len(os.listdir(tmp_path)) == 2
    assert scalars(tmp_path, "loss") == [(1, 1.0), (3, 3.0)]


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "taken").touch()
    file = EventFile(tmp_path / "taken" / "logs")
    for _ in range(2):
        with pytest.raises(OSError):
            file.write_scalars({"loss": 1.0}, 1)
    file.close()


def test_without_tensorboard(monkeypatch):
    name = "tensorboard.summary.writer.record_writer"
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"pip install 'keras-asit\[tensorboard\]'"):
        need_tensorboard()


WITHOUT_TENSORFLOW = """
import sys
import numpy as np
from keras_asit.callbacks.event_file import EventFile
from keras_asit.callbacks.projector import write_projector
file = EventFile(sys.argv[1])
file.write_scalars({"loss": 1.0}, 1)
write_projector(sys.argv[1], np.ones((2, 2)), [0, 1])
assert "tensorflow" not in sys.modules
"""


def test_tensorflow_stays_away(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW, str(tmp_path)],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
