"""Pictures of spectrograms, corruption, learning curves and scores, with matplotlib.

Every function returns a `matplotlib.figure.Figure`; `save` writes it as PNG.
"""

import io
from pathlib import Path

import numpy as np


def need_matplotlib():
    """Raises an ImportError that says how to install it, where it is not."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "Pictures need matplotlib: pip install 'keras-asit[plots]'."
        ) from error


def _figure(width, height):
    need_matplotlib()
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _grid(number, columns, width, height):
    """A figure with `number` axes in rows of at most `columns`."""
    if number < 1:
        raise ValueError("Expected something to draw; received nothing.")
    columns = min(columns, number)
    rows = -(-number // columns)
    figure = _figure(width * columns, height * rows)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[number:]:
        axes.set_visible(False)
    return figure, grid[:number]


def save(figure, path):
    """Writes a figure as a PNG file and returns its path."""
    figure.savefig(path, dpi=110)
    return Path(path)


def png(figure):
    """A figure as the bytes of a PNG file."""
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=110)
    return picture.getvalue()


def show_spectrogram(axes, spectrogram, seconds=None, limits=None, cmap="magma"):
    """Draws a log-mel spectrogram `(T, F)`, low frequencies at the bottom.

    Args:
        axes: Matplotlib axes.
        spectrogram: `(T, F)` array.
        seconds: Its length for the time axis; frames where not given.
        limits: Smallest and largest value of the colours.
        cmap: Name of the colour map.
    """
    spectrogram = np.asarray(spectrogram)
    low, high = limits or (spectrogram.min(), spectrogram.max())
    extent = (0, seconds or len(spectrogram), 0, spectrogram.shape[1])
    image = axes.imshow(
        spectrogram.T,
        origin="lower",
        aspect="auto",
        extent=extent,
        vmin=low,
        vmax=high,
        cmap=cmap,
        interpolation="nearest",
    )
    axes.set_xlabel("time (s)" if seconds else "frame")
    axes.set_ylabel("mel bin")
    return image


def spectrograms(items, seconds=None, columns=4, limits=None):
    """A grid of spectrograms.

    Args:
        items: Pairs (title, `(T, F)` array).
        seconds: Length of a spectrogram for the time axis.
        columns: Spectrograms in a row.
        limits: Smallest and largest value of the colours, the same for all; each
            spectrogram's own where not given.
    """
    items = list(items)
    figure, grid = _grid(len(items), columns, 3.4, 2.5)
    for axes, (title, spectrogram) in zip(grid, items, strict=True):
        show_spectrogram(axes, spectrogram, seconds, limits)
        axes.set_title(title, fontsize=9)
    return figure


def reconstructions(arrays, titles=None, view=0, seconds=None):
    """Clean, mask, corrupted and reconstructed spectrogram, a clip a row.

    Args:
        arrays: What `ASiTPretrainer.reconstruct` returns.
        titles: A title a clip.
        view: Which view to draw.
        seconds: Length of a view for the time axis.
    """
    names = ("clean", "mask", "corrupted", "reconstruction")
    number = len(arrays["clean"])
    titles = titles or [f"clip {i}" for i in range(number)]
    figure = _figure(13, 2.4 * number)
    grid = figure.subplots(number, len(names), squeeze=False)
    for row in range(number):
        clean = arrays["clean"][row, view]
        limits = (clean.min(), max(clean.max(), clean.min() + 1e-3))
        for axes, name in zip(grid[row], names, strict=True):
            picture = arrays[name][row, view]
            is_mask = name == "mask"
            show_spectrogram(
                axes,
                picture,
                seconds,
                limits=(0, 1) if is_mask else limits,
                cmap="gray" if is_mask else "magma",
            )
            if is_mask:
                name = f"mask, {100 * picture.mean():.0f} % changed"
            axes.set_title(f"{titles[row]}: {name}", fontsize=8)
    return figure


def learning_curves(histories, title=""):
    """Curves of logged values, one panel a quantity.

    Args:
        histories: `{run: {quantity: values}}`; runs that share a quantity share
            its panel.
        title: Title of the figure.
    """
    quantities = []
    for history in histories.values():
        quantities += [name for name in history if name not in quantities]
    figure, grid = _grid(len(quantities), 4, 3.6, 2.6)
    for axes, quantity in zip(grid, quantities, strict=True):
        for run, history in histories.items():
            if quantity in history:
                values = history[quantity]
                marker = "o" if len(values) < 3 else None  # a point is no line
                axes.plot(range(1, len(values) + 1), values, label=run, marker=marker)
        axes.set_title(quantity.replace("_", " "), fontsize=9)
        axes.set_xlabel("epoch")
        if len(histories) > 1:
            axes.legend(fontsize=7)
    figure.suptitle(title, fontsize=10)
    return figure


def bars(values, title="", unit="%", reference=None):
    """Named values as horizontal bars.

    Args:
        values: `{name: value}`.
        title: Title of the figure.
        unit: Unit of the values.
        reference: `(name, value)` of a dashed line, for example chance.
    """
    figure = _figure(6.5, 0.55 * len(values) + 1.2)
    axes = figure.subplots()
    names = list(values)
    places = axes.barh(names, [values[name] for name in names], color="#4477aa")
    axes.bar_label(places, fmt="%.3g", padding=3)
    axes.invert_yaxis()
    axes.set_xlabel(unit)
    axes.margins(x=0.12)
    if reference:
        axes.axvline(reference[1], color="gray", linestyle="--", label=reference[0])
        axes.legend(fontsize=8)
    axes.set_title(title, fontsize=10)
    return figure


def confusion_matrix(matrix, class_names=None, title=""):
    """A confusion matrix, each row coloured by shares of the clips of its class.

    Colours follow the square root of the share, so that rare confusions can be seen.
    Of up to 20 classes the cells tell their numbers of clips, where there are any.

    Args:
        matrix: `(C, C)` numbers of clips, a row for each class and a column for each
            prediction, as `evaluation.confusion_matrix` returns it.
        class_names: C names; numbers where not given.
        title: Title of the figure.

    Raises:
        ValueError: If the matrix is not square or there is not a name for every class.
    """
    matrix = np.asarray(matrix)
    names = list(range(len(matrix)) if class_names is None else class_names)
    if matrix.shape != (len(names), len(names)) or not names:
        raise ValueError(
            "Expected a matrix (C, C) and a name for each of the C classes; received "
            f"shape {matrix.shape} and {len(names)} names."
        )
    has_numbers = len(names) <= 20
    side = 3 + (0.42 if has_numbers else 0.15) * len(names)
    figure = _figure(side + 0.8, side)
    axes = figure.subplots()
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, norm=_square_root_colors(), cmap="Blues")
    figure.colorbar(image, label="share of the class", shrink=0.8, aspect=30)
    edges = np.arange(1, len(names)) - 0.5
    for lines in (axes.hlines, axes.vlines):
        lines(edges, -0.5, len(names) - 0.5, color="gainsboro", linewidth=0.4)
    if has_numbers:
        _write_numbers(axes, matrix, shares)
    size = 9 if has_numbers else 7
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size)
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.set_xlabel("prediction")
    axes.set_ylabel("class")
    axes.set_title(title, fontsize=10)
    return figure


def _square_root_colors():
    from matplotlib.colors import PowerNorm

    return PowerNorm(0.5, vmin=0, vmax=1)


def _write_numbers(axes, matrix, shares):
    """Numbers of clips in the cells that have any, to be read on their colours."""
    for y, x in np.argwhere(matrix):
        color = "white" if shares[y, x] > 0.25 else "black"
        number = f"{matrix[y, x]:g}"
        axes.text(x, y, number, color=color, fontsize=8, ha="center", va="center")
