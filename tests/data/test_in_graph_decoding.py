"""`decoder="tensorflow-io"`: the same views, decoded in the graph."""

import keras
import numpy as np
import pytest

from keras_asit.audio import tensorflow_io
from keras_asit.data import pretraining_dataset, read_manifest
from keras_asit.data.examples import ClipExamples

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="other backends have no tf.data"
)
OPTIONS = {"crop_seconds": 0.25, "features": "waveform", "seed": 2}


@pytest.fixture
def with_tensorflow_io():
    try:
        tensorflow_io.check_tensorflow_io()
    except ImportError:
        pytest.skip("needs tensorflow-io: make test-tensorflow-io")


def views(source, decoder, batch_size=4, **options):
    dataset = pretraining_dataset(
        source, batch_size, decoder=decoder, **{**OPTIONS, **options}
    )
    return np.concatenate([batch.numpy() for batch in dataset])


@pytest.mark.parametrize("rate", [8000, 16000])
def test_views_are_those_of_soundfile(write_clips, with_tensorflow_io, rate):
    paths = write_clips(8)
    ours, theirs = (
        views(paths, decoder, sample_rate=rate)
        for decoder in ("tensorflow-io", "soundfile")
    )
    np.testing.assert_allclose(ours, theirs, atol=0 if rate == 8000 else 1e-5)


def test_python_is_asked_for_what_the_graph_cannot_read(
    write_clips, with_tensorflow_io, monkeypatch
):
    paths, asked = write_clips(20, broken=[4]), []
    example = ClipExamples.example

    def recorded(self, index, key):
        asked.append(index)
        return example(self, index, key)

    monkeypatch.setattr(ClipExamples, "example", recorded)
    with pytest.warns(UserWarning, match="1 of 20 clips could not be read"):
        ours = views(paths, "tensorflow-io", sample_rate=8000)
    assert asked == [4]
    with pytest.warns(UserWarning, match="1 of 20 clips could not be read"):
        np.testing.assert_array_equal(ours, views(paths, "soundfile", sample_rate=8000))


def test_links_out_of_the_folder_are_left_to_python(
    write_clips, with_tensorflow_io, tmp_path
):
    outside = write_clips(1)[0]
    folder = tmp_path / "set"
    folder.mkdir()
    manifest = read_manifest(write_clips(1)[0].rpartition("/")[0], allow_outside=True)
    (folder / "a.wav").symlink_to(outside)
    manifest.paths[0], manifest.root = str(folder / "a.wav"), str(folder)
    manifest.allow_outside = False
    with pytest.raises(Exception, match="lies outside"):
        views(manifest, "tensorflow-io", batch_size=1, sample_rate=8000)


def test_without_tensorflow_io_the_cure_is_named(write_clips):
    try:
        tensorflow_io.check_tensorflow_io()
    except ImportError:
        with pytest.raises(ImportError, match=r"constraints-tensorflow-io\.txt"):
            views(write_clips(4), "tensorflow-io")


def test_the_cache_is_pythons(write_clips):
    with pytest.raises(ValueError, match="cache=False for the decoder tensorflow-io"):
        views(write_clips(4), "tensorflow-io", cache=True)
