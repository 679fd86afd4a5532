"""Small sets of audio files, written anew for each test."""

import numpy as np
import pytest
import soundfile

RATE = 8000


@pytest.fixture
def write_clips(tmp_path):
    """A function that writes `count` noise clips, some of them broken.

    The clips last 0.50, 0.51, 0.52, ... s at 8 kHz; the broken ones are text.
    """

    def write(count, broken=(), seconds=0.5):
        paths = []
        for i in range(count):
            path = tmp_path / f"clip_{i:03}.wav"
            if i in broken:
                path.write_text("not audio")
            else:
                samples = round((seconds + 0.01 * i) * RATE)
                wave = np.random.default_rng(i).uniform(-0.5, 0.5, samples)
                soundfile.write(path, wave, RATE, subtype="PCM_16")
            paths.append(str(path))
        return paths

    return write


@pytest.fixture
def write_manifest(write_clips, tmp_path):
    """A function that writes clips and their `manifest.csv`: `class_00`, ..."""

    def write(count, classes=2, labels=None, **kwargs):
        paths = write_clips(count, **kwargs)
        labels = labels or [f"class_{i % classes:02}" for i in range(count)]
        rows = [f"{p.split('/')[-1]},{label}" for p, label in zip(paths, labels)]
        manifest = tmp_path / "manifest.csv"
        manifest.write_text("\n".join(["path,label", *rows]) + "\n")
        return manifest

    return write
