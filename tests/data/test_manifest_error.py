import pickle

import pytest

from keras_asit.data.manifest_error import ManifestError

pytestmark = pytest.mark.backend_free


def test_long_lists_of_problems_are_kept_and_shown_in_part():
    error = ManifestError("m.csv", (f"line {i}: wrong" for i in range(50)))
    assert len(error.problems) == 50
    lines = str(error).splitlines()
    assert lines[0] == "Cannot use the manifest m.csv:"
    assert lines[20:] == ["  line 19: wrong", "  and 30 more problems"]


def test_a_problem_is_cut():
    error = ManifestError("m.csv", ["received the columns " + "x" * 800_000])
    assert len(str(error)) < 1100
    assert error.problems[0].endswith("xxx...")


def test_it_travels_between_processes():
    error = ManifestError("m.csv", iter(["line 2: wrong"]))
    error = pickle.loads(pickle.dumps(error))
    assert isinstance(error, ValueError)
    assert (error.source, error.problems) == ("m.csv", ["line 2: wrong"])
    assert str(error).endswith("line 2: wrong")
