"""Lengths of clips by their manifest, by their headers, and where neither helps."""

import numpy as np
import pytest

from keras_asit.data.manifest import Manifest
from keras_asit.data.shards.lengths import TYPICAL_SECONDS, estimate_seconds

pytestmark = pytest.mark.backend_free


def manifest(paths=("a", "b", "c", "d"), **columns):
    return Manifest([f"/absent/{path}" for path in paths], columns=columns)


def test_column_of_durations():
    clips = manifest(duration_s=["1.5", "2", "3.0000", " 4 "])
    np.testing.assert_array_equal(estimate_seconds(clips), [1.5, 2, 3, 4])


def test_frames_where_there_is_no_duration():
    clips = manifest(
        duration_s=["1.5", "", "nan", "x"],
        frames=["9", "32000", "8000", ""],
        sample_rate=["1", "16000", "16000", "0"],
    )
    # The last is unknown: it counts as the median of the others.
    np.testing.assert_array_equal(estimate_seconds(clips), [1.5, 2.0, 0.5, 1.5])


@pytest.mark.parametrize("wrong", ["0", "-3", "inf", "1e400"])
def test_impossible_durations_are_unknown(wrong):
    clips = manifest(duration_s=["3", "3", "3", wrong])
    np.testing.assert_array_equal(estimate_seconds(clips), [3, 3, 3, 3])


def test_headers_of_the_files_that_the_manifest_says_nothing_of(write_clips):
    paths = write_clips(4, broken=[3])  # 0.50, 0.51, 0.52 s
    clips = Manifest(paths, columns={"duration_s": ["7", "", "", ""]})
    np.testing.assert_allclose(estimate_seconds(clips), [7.0, 0.51, 0.52, 0.52])
    np.testing.assert_array_equal(estimate_seconds(clips, read_headers=False), [7] * 4)


def test_nothing_is_known():
    np.testing.assert_array_equal(estimate_seconds(manifest()), [TYPICAL_SECONDS] * 4)
