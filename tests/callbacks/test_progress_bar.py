"""What `fit` prints: losses, not twenty numbers."""

import re

import keras
import numpy as np
import pytest

from keras_asit.callbacks import Doctor, EMATeacher, ProgressBar
from keras_asit.callbacks.arrangement import arranged
from keras_asit.callbacks.progress_bar import shown
from tiny_asit import clean_views

LOSSES = ["loss", "global_loss", "local_loss", "reconstruction_loss"]


class Talks(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        print(f"a line of epoch {epoch}, {logs['doctor/skipped_steps']}")


@pytest.fixture(autouse=True)
def fixed_seeds():
    """Not before each test: TensorFlow would trace the step anew in each."""


@pytest.fixture(scope="module")
def model(compiled):
    return compiled[1]()


def printed(model, capsys, **arguments):
    capsys.readouterr()
    history = model.fit(clean_views(4), batch_size=2, epochs=2, **arguments)
    return history.history, capsys.readouterr().out


def names(line):
    """The names of the numbers in a line, in order."""
    return re.findall(r"- ([\w/]+):", line)


@pytest.mark.large_on_jax
def test_a_line_an_epoch_in_a_file(model, capsys):
    """pytest's capture is no screen. The validation is part of the line."""
    history, out = printed(model, capsys, validation_data=(clean_views(2),))
    expected = LOSSES + ["val_" + name for name in LOSSES]
    lines = out.splitlines()
    assert lines[0::2] == ["Epoch 1/2", "Epoch 2/2"]
    assert [names(line) for line in lines[1::2]] == [expected, expected]
    assert f"val_loss: {history['val_loss'][1]:.4f}" in lines[3]
    assert not re.search("[\b\r\x1b]", out)
    assert "doctor/gradient_norm" in history


def test_a_bar_on_a_screen(model, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    _, out = printed(model, capsys, callbacks=Talks())
    lines = out.split("\n")
    assert len(lines) == 2 * 3 + 1
    assert names(lines[1].split("\r")[-1]) == LOSSES
    assert "━━━━" in lines[1]
    # Another callback's line has its own, below the bar, and sees the doctor.
    assert lines[2] == "a line of epoch 0, 0.0"


def test_silence(model, capsys):
    assert printed(model, capsys, verbose=0)[1] == ""
    model.fit(clean_views(4), None, 2, 1, 0)
    assert capsys.readouterr().out == ""


def test_a_bar_of_ones_own_is_the_only_one(model, capsys):
    bar = keras.callbacks.ProgbarLogger()
    _, out = printed(model, capsys, verbose=2, callbacks=[bar])
    assert out.count("Epoch 1/2") == 1
    assert out.count("doctor/gradient_norm") == 2


def test_what_is_shown():
    logs = {
        "doctor/gradient_norm": 1.0,
        "local_loss": 2.0,
        "val_loss": 5.0,
        "loss": np.nan,  # which must be seen
        "probe/knn_accuracy": np.nan,  # not measured now
        "probe/linear_accuracy": 0.5,
    }
    expected = ["loss", "local_loss", "val_loss", "probe/linear_accuracy"]
    assert list(shown(logs)) == expected
    assert shown(None) == {}


def test_who_adds_to_the_logs_comes_first():
    doctor, teacher = Doctor(), EMATeacher()
    csv, bar = keras.callbacks.CSVLogger("log.csv"), ProgressBar(1)
    assert arranged([csv, teacher, bar, doctor], 1) == [doctor, bar, csv, teacher]
    kinds = [type(callback) for callback in arranged(csv, 0)]
    assert kinds == [Doctor, keras.callbacks.CSVLogger, EMATeacher]


def test_another_verbosity_is_refused():
    with pytest.raises(ValueError, match=r'verbose is 1, 2 or "auto"; received 0'):
        ProgressBar(verbose=0)
