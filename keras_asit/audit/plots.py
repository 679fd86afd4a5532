"""Plots of an audit, in the style of `pictures`."""

import numpy as np

from keras_asit import pictures
from keras_asit.audio.filterbank import FLOOR
from keras_asit.audit.findings import SILENT_PEAK_DB, decibels

_BLUE, _RED, _GRAY = "#4477aa", "#ee6677", "gray"
_MOST_BARS = 40  # classes that are named; more are a curve
_FLOOR = np.log(FLOOR)
_WIDE = 20  # longest over shortest clip, from where the axis is logarithmic


def figures(report, facts):
    """The plots of a report.

    Args:
        report: What `describe` returns.
        facts: The `Facts` of the clips.

    Returns:
        Dict of title to `matplotlib.figure.Figure`.

    Raises:
        ImportError: Where matplotlib is missing.
    """
    pictures.need_matplotlib()
    good, drawn = facts.good, {}
    if good.any():
        drawn["Durations"] = durations(facts.seconds[good])
        drawn["Levels"] = levels(facts.table["peak"][good], facts.table["rms"][good])
    if len(report["rates"]) > 1:
        drawn["Sample rates"] = named_counts(
            {f"{int(rate):,} Hz": n for rate, n in report["rates"].items()}
        )
    if report["log_mel"]:
        drawn["Mean log-mel spectrum"] = spectrum(report["log_mel"])
    if report["labels"]["clips"]:
        drawn["Labels"] = label_counts(report["labels"]["clips"])
    return drawn


def durations(seconds):
    """Histogram of lengths in seconds; equal ones are one bar in the middle."""
    figure, axes = _axes()
    low, high = float(seconds.min()), float(seconds.max())
    is_wide = high > _WIDE * low
    if high - low < 1e-3 * high:
        low, high = 0.9 * low, 1.1 * high
    edges = np.geomspace(low, high, 42) if is_wide else np.linspace(low, high, 42)
    axes.hist(seconds, bins=edges, color=_BLUE)
    median = float(np.median(seconds))
    axes.axvline(median, color=_GRAY, linestyle="--", label=f"median {median:.2f} s")
    axes.set_xscale("log" if is_wide else "linear")
    axes.xaxis.set_major_formatter("{x:g}")
    _finish(axes, "length (s)", "clips")
    return figure


def levels(peak, rms):
    """Histograms of peaks and of rms levels in dBFS, and where silence begins."""
    figure, axes = _axes()
    rms, peak = np.minimum(decibels(rms), 0.0), np.minimum(decibels(peak), 0.0)
    edges = np.arange(np.floor(rms.min() / 2) * 2 - 2, 1, 2)
    axes.hist(rms, bins=edges, color=_BLUE, alpha=0.65, label="rms")
    axes.hist(peak, bins=edges, color=_RED, alpha=0.65, label="peak")
    if peak.min() < SILENT_PEAK_DB + 10:
        label = f"silent: peak below {SILENT_PEAK_DB:g} dBFS"
        axes.axvline(SILENT_PEAK_DB, color=_GRAY, linestyle="--", label=label)
    _finish(axes, "level (dBFS)", "clips")
    return figure


def spectrum(log_mel):
    """Mean log-mel by frequency with one standard deviation, and the constants."""
    figure, axes = _axes()
    bins = log_mel["bins"]
    hertz, mean, std = (np.array(bins[name]) for name in ("hertz", "mean", "std"))
    axes.fill_between(
        hertz, mean - std, mean + std, color=_BLUE, alpha=0.25, label="± std of the bin"
    )
    axes.plot(hertz, mean, color=_BLUE, label="mean of the bin")
    axes.axhline(log_mel["mean"], color=_RED, linestyle="--", label="mean of all")
    axes.axhspan(
        log_mel["mean"] - log_mel["std"],
        log_mel["mean"] + log_mel["std"],
        color=_RED,
        alpha=0.08,
        label="± std of all",
    )
    if mean.min() < _FLOOR + 0.5:
        label = "floor: empty bins, digital silence"
        axes.axhline(_FLOOR, color=_GRAY, linestyle=":", label=label)
    axes.set_xscale("function", functions=(_mel, _hertz))
    top = hertz[-1]
    ticks = [f for f in (0, 100, 250, 500, 1000, 2000, 4000, 8000, 16000) if f < top]
    axes.set_xticks(ticks)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlim(hertz[0], top)
    _finish(axes, "frequency (Hz, mel scale)", "natural log of energy")
    return figure


def label_counts(counts):
    """Clips a class: bars for few classes, a falling curve for many."""
    if len(counts) <= _MOST_BARS:
        return named_counts(dict(sorted(counts.items(), key=lambda item: -item[1])))
    figure, axes = _axes()
    falling = np.sort(list(counts.values()))[::-1]
    axes.step(np.arange(1, len(falling) + 1), falling, color=_BLUE, where="mid")
    axes.set_yscale("symlog" if falling[-1] == 0 else "log")
    axes.set_ylim(bottom=0.8 * max(falling[-1], 0))
    axes.yaxis.set_major_formatter("{x:g}")
    _finish(axes, "classes, the most frequent first", "clips")
    return figure


def named_counts(counts):
    """Counts as bars with their names."""
    names = [_shortened(name) for name in counts]
    figure, axes = _axes(height=0.26 * len(names) + 1.0)
    places = axes.barh(range(len(names)), list(counts.values()), color=_BLUE)
    axes.bar_label(places, fmt="{:,.0f}", padding=3, fontsize=8)
    # As it is: a `$` in the name of a class begins no formula.
    axes.set_yticks(range(len(names)), names, fontsize=8, parse_math=False)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    _finish(axes, "clips", "")
    return figure


def _axes(width=6.5, height=3.0):
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _finish(axes, x, y):
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(
            fontsize=8,
            frameon=False,
            ncols=3,
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            borderaxespad=0.2,
        )


def _shortened(name, width=28):
    name = name or "(none)"
    return name if len(name) <= width else name[: width - 1] + "…"


def _mel(hertz):
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)


def _hertz(mel):
    return 700.0 * np.expm1(np.asarray(mel) / 1127.0)
