"""The report of an audit as lines of text."""

import os

from keras_asit.data.manifest_text import printable

_MOST_NAMED = 6  # values that are written out in a line


def summary(report, out=None):
    """The report as text for the terminal.

    Args:
        report: What `audit` returns.
        out: The folder that the audit wrote to, to name its files.

    Returns:
        Lines, with the measured mean and deviation as an argument to copy.
    """
    lines = [printable(report["source"]), ""] if report["source"] else []
    lines += [f"  {name:<11} {text}" for name, text in overview(report)]
    lines += ["", f"  {'finding':<11} {'clips':>9} {'dropped':>9}"]
    for kind, found in report["findings"].items():
        lines.append(_finding_line(kind, found))
    lines += [f"  {line}" for line in leak_lines(report)]
    if out is not None:
        lines += ["", *_written(report, out)]
    lines += ["", advice(report)]
    return "\n".join(lines)


def overview(report):
    """Pairs (what, text) of what the clips are."""
    clips, readable = report["clips"], report["readable"]
    told = "" if clips == readable else f", {readable:,} of them readable"
    lines = [("clips", f"{clips:,}{told}")]
    if readable:
        seconds = report["seconds"]
        lines += [
            ("hours", f"{report['hours']:,.3f}"),
            ("durations", _durations(seconds)),
            ("rates", _counted(report["rates"], lambda rate: f"{int(rate):,} Hz")),
            ("channels", _counted(report["channels"], _channels)),
            ("formats", _counted(report["formats"], printable)),
        ]
    lines.append(("labels", _labels(report["labels"])))
    for name, counts in report["divisions"].items():
        lines.append((name, _counted(counts, lambda text: printable(text) or "(none)")))
    if readable:
        peak, rms = report["peak_dbfs"]["50%"], report["rms_dbfs"]["50%"]
        lines.append(("level", f"medians: peak {peak:.1f} dBFS, rms {rms:.1f} dBFS"))
    if report["log_mel"]:
        lines.append(("log-mel", _log_mel(report["log_mel"])))
    return lines


def leak_lines(report):
    """What was compared across folds and splits, and what was found."""
    if not report["leaks"]:
        return ["no column fold or split of two values to leak across"]
    return [
        f"{printable(leak['shared'])} across {leak['across']}: "
        + (
            f"{leak['groups']:,} in two or more, {leak['clips']:,} clips"
            if leak["groups"]
            else "no leak"
        )
        for leak in report["leaks"]
    ]


def advice(report):
    """The measured constants as they are given to the filterbank."""
    log_mel = report["log_mel"]
    if not log_mel:
        return "No clip to measure the mean and deviation of the log-mel of."
    return (
        f"LogMelFilterbank(sample_rate={log_mel['sample_rate']}, "
        f"mean={log_mel['mean']:.4f}, std={log_mel['std']:.4f})"
    )


def _finding_line(kind, found):
    clips, dropped = found["clips"], found["dropped"]
    counts = " ".join(f"{n:>9,}" if n else f"{'-':>9}" for n in (clips, dropped))
    first = printable(_shortened(found["first"][0]["path"])) if clips else ""
    more = ", ..." if clips > 1 else ""
    return f"  {kind:<11} {counts}   {first}{more}".rstrip()


def _shortened(text, width=40):
    return text if len(text) <= width else "..." + text[3 - width :]


def _written(report, out):
    kept = report["kept"]
    lines = [
        f"Written to {out}: report.html, report.json, findings.csv, dropped.csv, and",
        f"manifest.csv with {kept['clips']:,} clips, {kept['hours']:,.3f} hours.",
    ]
    options = [report["read_with"]] if report["read_with"] else []
    if report["needs_labels"]:
        options.append(f"labels={os.path.join(out, 'labels.csv')!r}")
    if options:
        path = os.path.join(out, "manifest.csv")
        lines.append(f"read_manifest({path!r}, {', '.join(options)})")
    return lines


def _durations(seconds):
    low, median, high = (seconds[name] for name in ("0%", "50%", "100%"))
    if low == high:
        return f"{low:.2f} s each"
    return f"{low:.2f} to {high:.2f} s, median {median:.2f} s"


def _channels(number):
    return {"0": "not known", "1": "mono", "2": "stereo"}.get(number, f"{number}")


def _counted(counts, name):
    """Values with their counts; the value alone where it is the only one."""
    if len(counts) == 1:
        return name(next(iter(counts)))
    items = [f"{name(value)}: {n:,}" for value, n in counts.items()]
    more = len(items) - _MOST_NAMED
    rest = f", and {more} more" if more > 0 else ""
    return ", ".join(items[:_MOST_NAMED]) + rest


def _labels(labels):
    counts = sorted(labels["clips"].values())
    if not counts:
        return "none"
    low, high = counts[0], counts[-1]
    each = f"{low:,}" if low == high else f"{low:,} to {high:,}"
    classes = "1 class" if len(counts) == 1 else f"{len(counts):,} classes"
    several = ", several a clip" if labels["many_a_clip"] else ""
    without = f"; {labels['without']:,} without" if labels["without"] else ""
    return f"{classes}, {each} clips each{several}{without}"


def _log_mel(log_mel):
    error = log_mel["standard_error"]
    sure = f" (standard error of the mean {error:.2g})" if error else ""
    return (
        f"mean {log_mel['mean']:.4f}, std {log_mel['std']:.4f}{sure}\n"
        f"  {'':<11} of {log_mel['num_mel_bins']} bins at "
        f"{log_mel['sample_rate']:,} Hz, {log_mel['clips']:,} of "
        f"{log_mel['of_clips']:,} clips, {log_mel['frames']:,} frames"
    )
