"""What all tests share: seeds, the real recordings, and which backend runs what."""

import os
import socket
from pathlib import Path

import keras
import pytest

# Of numpy, files and text alone: files, and the beginnings of names within one.
BACKEND_FREE = (
    "audio/test_damaged_files.py",
    "audio/test_formats.py",
    "audio/test_mp3.py",
    "audio/test_ogg.py",
    "audio/test_reading.py",
    "audio/test_resampling.py",
    "data/prepare/",
    "data/shards/test_streaming.py",  # of TensorFlow's graph alone
    "data/test_batches.py::test_jax_needs_no_tensorflow",
    "data/test_clips.py",
    "data/test_draws.py",
    "data/test_manifest.py",
    "data/test_mixup.py",
    "data/test_passes.py",
    "data/test_py_batches.py",
    "data/test_sampling.py",
    "data/test_sources.py",
    "data/test_spec_augment.py",
    "data/test_synthetic.py",
    "data/test_views.py",
    "evaluation/",
    "quickstart/test_clips.py",
    "test_backends_agree.py",  # compares both, whichever runs it
    "test_pictures.py",
)


def pytest_addoption(parser):
    parser.addoption(
        "--not-backend-free",
        action="store_true",
        help="leave out the tests marked backend_free, which another backend runs",
    )


def pytest_itemcollected(item):
    if item.nodeid.removeprefix("tests/").startswith(BACKEND_FREE):
        item.add_marker("backend_free")
    if item.get_closest_marker("large_on_jax") and keras.backend.backend() == "jax":
        item.add_marker("large")


def pytest_collection_modifyitems(config, items):
    if config.getoption("not_backend_free"):
        left_out = [i for i in items if i.get_closest_marker("backend_free")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(autouse=True)
def fixed_seeds():
    """Python's, numpy's and the backend's global generators start anew each test."""
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Tests reach this machine alone."""
    connect = socket.socket.connect

    def connect_here(self, address):
        named = self.family in (socket.AF_INET, socket.AF_INET6)
        if named and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"a test asks for the network: {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_here)


@pytest.fixture(scope="session")
def data_root():
    """The folder of real recordings; tests that need it are skipped without it."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    root = Path(os.environ.get("KERAS_ASIT_DATA") or beside)
    if not root.is_dir():
        pytest.skip(
            f"needs the real recordings: no folder {root}. "
            f"Set KERAS_ASIT_DATA to the folder that holds them."
        )
    return root
