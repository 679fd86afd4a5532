"""What all tests share: fixed seeds, and where the real recordings are."""

import os
from pathlib import Path

import keras
import pytest


@pytest.fixture(autouse=True)
def fixed_seeds():
    """Python's, numpy's and the backend's global generators start anew each test."""
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def data_root():
    """The folder of real recordings; tests that need it are skipped without it."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    root = Path(os.environ.get("KERAS_ASIT_DATA", beside))
    if not root.is_dir():
        pytest.skip(
            f"needs the real recordings: no folder {root}. "
            f"Set KERAS_ASIT_DATA to the folder that holds them."
        )
    return root
