"""The plots, by what they draw."""

import numpy as np
import pytest

from keras_asit.audit import plots

pytestmark = pytest.mark.backend_free


def bars_of(axes):
    return [bar.get_height() for bar in axes.patches]


def test_durations_are_all_drawn():
    rng = np.random.default_rng(0)
    for seconds in (rng.uniform(1, 9, 50), 10 ** rng.uniform(-1, 3, 50)):
        [axes] = plots.durations(seconds).axes
        assert sum(bars_of(axes)) == 50
    assert axes.get_xscale() == "log"


def test_equal_durations_are_one_bar_in_the_middle():
    [axes] = plots.durations(np.full(7, 5.0)).axes
    [drawn] = [bar for bar in axes.patches if bar.get_height()]
    assert drawn.get_height() == 7
    assert drawn.get_x() < 5.0 < drawn.get_x() + drawn.get_width()
    assert axes.get_xscale() == "linear"


@pytest.mark.parametrize("quietest", [0.5, 0.0])
def test_levels_are_all_drawn(quietest):
    rms = np.array([0.1, 0.2, quietest / 3])
    peak = np.array([0.5, 1.2, quietest])  # the mean shifts a peak above full scale
    [axes] = plots.levels(peak, rms).axes
    assert sum(bars_of(axes)) == 6
    labels = axes.get_legend_handles_labels()[1]
    assert any("silent" in label for label in labels) == (quietest == 0.0)


def test_spectrum():
    hertz, mean = [100.0, 400.0, 1500.0], [-3.0, -5.0, -15.9]
    bins = {"hertz": hertz, "mean": mean, "std": [1.0, 2.0, 0.0]}
    [axes] = plots.spectrum({"bins": bins, "mean": -7.0, "std": 3.0}).axes
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), hertz)
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), mean)
    assert axes.get_xlim() == (100.0, 1500.0)
    places = axes.transData.transform([(f, 0) for f in (100, 400, 700, 1000)])[:, 0]
    assert np.diff(places, 2).max() < 0  # high frequencies are drawn closer


def test_names_are_no_formulas():
    figure = plots.label_counts({"cash $_$ x": 1, r"$\frac$": 2})
    figure.canvas.draw()
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == [r"$\frac$", "cash $_$ x"]


def test_few_classes_are_named_and_many_are_a_curve():
    [axes] = plots.label_counts({"a": 3, "b": 9, "": 1, "x" * 50: 4}).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names[0] == "b" and names[2:] == ["a", "(none)"] and len(names[1]) == 28
    assert [bar.get_width() for bar in axes.patches] == [9, 4, 3, 1]
    many = {str(i): i for i in range(1, 101)}
    [axes] = plots.label_counts(many).axes
    assert not axes.patches
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), np.arange(100, 0, -1))
    plots.label_counts({**many, "none": 0})
