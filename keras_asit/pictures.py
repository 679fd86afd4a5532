"""Pictures of spectrograms, corruption and learning curves, with matplotlib.

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
