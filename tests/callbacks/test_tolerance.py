import warnings

import pytest

from keras_asit.callbacks.tolerance import Tolerance

pytestmark = pytest.mark.backend_free


def test_a_failure_is_told_once():
    tolerance = Tolerance("Probe")
    with pytest.warns(UserWarning, match="Probe: no picture: OSError: full"):
        with tolerance.going_on("picture"):
            raise OSError("full")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with tolerance.going_on("picture"):
            raise OSError("full")
    with pytest.warns(UserWarning, match="no scalars: ValueError"):
        with tolerance.going_on("scalars"):
            raise ValueError


def test_who_wants_to_stop_can():
    with pytest.raises(KeyboardInterrupt):
        with Tolerance("Probe").going_on("picture"):
            raise KeyboardInterrupt
