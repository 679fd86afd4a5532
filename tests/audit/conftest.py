"""Small sets of clips with faults that are known."""

import csv

import numpy as np
import pytest
import soundfile

RATE = 8000


def _noise(seed, seconds=0.5, level=0.3):
    """White noise `[S]` at 8 kHz, exact in 16 bit."""
    samples = round(seconds * RATE)
    wave = np.random.default_rng(seed).uniform(-level, level, samples)
    return np.round(wave * 32768) / 32768


@pytest.fixture
def noise():
    """A function of a seed, and of seconds and level: noise `[S]` at 8 kHz."""
    return _noise


@pytest.fixture
def write_set(tmp_path):
    """A function that writes clips and a manifest of them, and returns its path.

    Args of it:
        clips: Dict of name to a waveform (16 bit at 8 kHz), bytes, or None for no file.
        columns: Dict of column to values; by default a label.
    """

    def write(clips, folder="set", **columns):
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        for name, content in clips.items():
            if isinstance(content, bytes):
                (root / name).write_bytes(content)
            elif content is not None:
                soundfile.write(root / name, content, RATE, subtype="PCM_16")
        columns = columns or {"label": ["a"] * len(clips)}
        with open(root / "manifest.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["path", *columns])
            writer.writerows(zip(clips, *columns.values(), strict=True))
        return root / "manifest.csv"

    return write
