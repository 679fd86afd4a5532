import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from keras_asit import pictures


def panels(figure):
    """The axes that can be seen."""
    return [axes for axes in figure.axes if axes.get_visible()]


def test_spectrogram_has_low_frequencies_at_the_bottom():
    axes = Figure().subplots()
    spectrogram = np.arange(12.0).reshape(4, 3)  # 4 frames, 3 bins
    image = pictures.show_spectrogram(axes, spectrogram, seconds=2.0)
    np.testing.assert_array_equal(image.get_array(), spectrogram.T)
    assert image.origin == "lower"
    assert image.get_extent() == [0, 2.0, 0, 3]
    assert image.get_clim() == (0.0, 11.0)
    assert axes.get_xlabel() == "time (s)"


def test_spectrogram_without_seconds_counts_frames():
    axes = Figure().subplots()
    image = pictures.show_spectrogram(axes, np.zeros((4, 3)), limits=(-1.0, 1.0))
    assert image.get_extent() == [0, 4, 0, 3]
    assert image.get_clim() == (-1.0, 1.0)
    assert axes.get_xlabel() == "frame"


@pytest.mark.parametrize("number", [1, 3, 4, 5])
def test_a_panel_for_each_spectrogram(number):
    items = [(f"clip {i}", np.full((4, 3), i)) for i in range(number)]
    figure = pictures.spectrograms(iter(items), columns=4)
    titles = [axes.get_title() for axes in panels(figure)]
    assert titles == [f"clip {i}" for i in range(number)]


def reconstruction_arrays():
    clean = np.random.default_rng(0).normal(size=(2, 2, 8, 4))
    mask = np.zeros_like(clean)
    mask[:, 0, :2] = 1.0  # a quarter of the first view
    mask[:, 1] = 1.0
    arrays = {"clean": clean, "mask": mask, "corrupted": clean * (1 - mask)}
    return {**arrays, "reconstruction": np.zeros_like(clean)}


def test_a_row_of_reconstructions_for_each_clip():
    arrays = reconstruction_arrays()
    figure = pictures.reconstructions(arrays, titles=["dog", "rain"], seconds=1.0)
    titles = [axes.get_title() for axes in panels(figure)]
    assert titles == [
        f"{clip}: {name}"
        for clip in ("dog", "rain")
        for name in ("clean", "mask, 25 % changed", "corrupted", "reconstruction")
    ]
    clean, mask, corrupted, reconstruction = (a.images[0] for a in panels(figure)[:4])
    np.testing.assert_array_equal(clean.get_array(), arrays["clean"][0, 0].T)
    np.testing.assert_array_equal(mask.get_array(), arrays["mask"][0, 0].T)
    assert clean.get_clim() == corrupted.get_clim() == reconstruction.get_clim()
    assert mask.get_clim() == (0, 1)


def test_reconstructions_of_another_view():
    figure = pictures.reconstructions(reconstruction_arrays(), view=1)
    assert panels(figure)[1].get_title() == "clip 0: mask, 100 % changed"


def test_learning_curves_of_runs_share_their_panels():
    histories = {
        "scratch": {"loss": [3.0, 2.0], "accuracy": [0.1, 0.2]},
        "pretrained": {"loss": [2.0, 1.0], "val_loss": [1.0, 1.0]},
    }
    figure = pictures.learning_curves(histories, "fine-tuning")
    loss, accuracy, _ = panels(figure)
    assert [axes.get_title() for axes in panels(figure)] == [
        "loss",
        "accuracy",
        "val loss",
    ]
    drawn = {line.get_label(): list(line.get_ydata()) for line in loss.lines}
    assert drawn == {"scratch": [3.0, 2.0], "pretrained": [2.0, 1.0]}
    assert list(accuracy.lines[0].get_xdata()) == [1, 2]


@pytest.mark.parametrize(("epochs", "marker"), [(1, "o"), (30, "None")])
def test_a_short_curve_can_be_seen(epochs, marker):
    figure = pictures.learning_curves({"run": {"loss": [1.0] * epochs}})
    [line] = panels(figure)[0].lines
    assert line.get_marker() == marker


def test_bars_and_their_reference():
    figure = pictures.bars({"scratch": 52.1, "pretrained": 61.3}, reference=("x", 10))
    (axes,) = panels(figure)
    assert [bar.get_width() for bar in axes.patches] == [52.1, 61.3]
    assert {text.get_text() for text in axes.texts} == {"52.1", "61.3"}
    assert list(axes.lines[0].get_xdata()) == [10, 10]


def test_save_writes_a_png(tmp_path):
    path = pictures.save(pictures.bars({"a": 1.0}), tmp_path / "bars.png")
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("draw", [pictures.spectrograms, pictures.learning_curves])
def test_nothing_to_draw(draw):
    with pytest.raises(ValueError, match="Expected something to draw"):
        draw({})


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for attempt in (pictures.need_matplotlib, lambda: pictures.bars({"a": 1.0})):
        with pytest.raises(ImportError, match=r"pip install 'keras-asit\[plots\]'"):
            attempt()


def test_confusion_matrix_has_the_shares_of_each_class():
    matrix = np.array([[3, 1, 0], [0, 0, 0], [0, 0, 5]])
    figure = pictures.confusion_matrix(matrix, ["dog", "rain", "cow"], "fold 1")
    axes = figure.axes[0]
    expected = [[0.75, 0.25, 0], [0, 0, 0], [0, 0, 1]]
    np.testing.assert_allclose(axes.images[0].get_array(), expected)
    assert axes.images[0].get_clim() == (0, 1)
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {(0, 0): "3", (1, 0): "1", (2, 2): "5"}
    for ticks in (axes.get_xticklabels(), axes.get_yticklabels()):
        assert [tick.get_text() for tick in ticks] == ["dog", "rain", "cow"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("prediction", "class")


def test_confusion_matrix_of_many_classes_has_no_numbers():
    figure = pictures.confusion_matrix(np.eye(50))
    assert not figure.axes[0].texts
    assert len(figure.axes[0].get_yticklabels()) == 50


@pytest.mark.parametrize(
    ("matrix", "names"), [(np.ones((2, 3)), None), (np.eye(2), ["a"]), ([], None)]
)
def test_confusion_matrix_of_another_shape(matrix, names):
    with pytest.raises(ValueError, match=r"a matrix \(C, C\) and a name for each"):
        pictures.confusion_matrix(matrix, names)
