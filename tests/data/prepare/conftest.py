"""Miniatures of the trees that published archives unpack to: names, no audio."""

import pytest

from keras_asit.data import read_manifest
from keras_asit.data.manifest_error import ManifestError


@pytest.fixture
def touch(tmp_path):
    """A function that makes empty files, by paths relative to `tmp_path`."""

    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


@pytest.fixture
def rows_of():
    """A function from a manifest to `{relative path: (label, other columns...)}`.

    Labels of a clip with several are a tuple; the other columns are in the order
    of the CSV.
    """

    def rows(path, **kwargs):
        clips = read_manifest(path, **kwargs)
        paths = [str(p).removeprefix(f"{path.parent}/") for p in clips.paths]
        return dict(zip(paths, zip(clips.labels, *clips.columns.values())))

    return rows


@pytest.fixture
def problems_of():
    """A function that calls another and gives the problems that it raises."""

    def problems(function, *args, **kwargs):
        with pytest.raises(ManifestError) as error:
            function(*args, **kwargs)
        return error.value.problems

    return problems
