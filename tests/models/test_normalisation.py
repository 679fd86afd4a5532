"""The warning where the data are not those of the frontend's constants."""

import re
import warnings

import keras
import numpy as np
import pytest

from keras_asit.data import labelled_dataset, pretraining_dataset
from keras_asit.models import ASiTClassifier
from keras_asit.models.normalisation import warn_if_far
from tiny_asit import BINS, FRAMES, RATE, SAMPLES, tiny_backbone

TEXT = r"mean -?\d+\.\d\d and deviation \d+\.\d\d, far from the frontend's constants"


def features(mean=0.0, std=0.5, shape=(8, FRAMES, BINS)):
    return np.random.default_rng(0).normal(mean, std, shape).astype("float32")


def far(data):
    """The text of the warning, or None."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_if_far(data, tiny_backbone())
    assert len(caught) <= 1
    return str(caught[0].message) if caught else None


def test_features_near_the_constants_are_fine():
    for near in (features(), features(0.4), features(std=0.2), features(std=1.4)):
        assert far(near) is None


@pytest.mark.parametrize("data", [(0.6, 0.5), (-0.6, 0.5), (0.0, 1.6), (0.0, 0.1)])
def test_features_far_from_the_constants(data):
    frontend = tiny_backbone().frontend
    text = far(features(*data))
    found = [
        float(number) for number in re.findall(r"(?:mean|deviation) (-?[\d.]+)", text)
    ]
    expected = [frontend.mean + 2 * frontend.std * data[0], 2 * frontend.std * data[1]]
    np.testing.assert_allclose(found, expected, atol=0.2)
    assert "asit audit MANIFEST" in text


def test_it_is_looked_at_in_every_form():
    silent = np.zeros((4, SAMPLES), "float32")
    views = features(2.0, shape=(4, 2, FRAMES, BINS))

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 1

        def __getitem__(self, index):
            return features(2.0), np.zeros(8)

    for data in (silent, silent.reshape(2, 2, -1), views, Batches()):
        assert far(data) is not None
    assert far(iter([features(2.0)])) is None  # which a look would empty
    assert far(np.zeros((4, 3, 5))) is None  # of a wrong shape, which `fit` explains


def test_datasets_of_the_library(write_short):
    paths, manifest = write_short
    frontend = tiny_backbone().frontend
    options = {"sample_rate": RATE, "frontend": frontend}
    seconds = SAMPLES / RATE
    of_views = {"crop_seconds": seconds, **options}
    for features_of in ("fbank", "waveform"):
        short = pretraining_dataset(paths, 2, features=features_of, **of_views)
        assert far(short) is not None
        short = labelled_dataset(
            manifest, 2, features=features_of, seconds=seconds, **options
        )
        assert far(short) is not None


@pytest.fixture
def write_short(tmp_path):
    """Clips of a hundredth of a crop: nearly all is padding."""
    import soundfile

    paths = []
    for i in range(2):
        path = tmp_path / f"{i}.wav"
        wave = np.random.default_rng(i).uniform(-0.5, 0.5, SAMPLES // 100)
        soundfile.write(path, wave, RATE)
        paths.append(str(path))
    (tmp_path / "manifest.csv").write_text("path,label\n0.wav,a\n1.wav,b\n")
    return paths, tmp_path / "manifest.csv"


def test_fit_warns():
    classifier = ASiTClassifier(tiny_backbone(), 2)
    classifier.compile("sgd", jit_compile="auto")
    with pytest.warns(UserWarning, match=TEXT):
        classifier.fit(features(3.0), np.zeros(8), epochs=1, verbose=0)
