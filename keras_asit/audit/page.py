"""The report of an audit as one page of HTML that needs no other file."""

import base64
import html
import io

from keras_asit.audit import plots
from keras_asit.audit.summary import advice, leak_lines, overview

SHOWN = 20  # clips of a finding

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 60em;
       padding: 0 1em; color: #222; background: #fff; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
table { border-collapse: collapse; } td, th { padding: .15em .8em .15em 0;
       text-align: left; vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
tr + tr td { border-top: 1px solid #eee; }
code, pre { background: #f4f4f4; padding: .1em .3em; overflow-wrap: anywhere; }
pre { padding: .6em; overflow-x: auto; }
details { margin: .3em 0; } summary { cursor: pointer; }
figure { margin: 0; } figcaption { font-weight: 600; margin-top: 1em; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(24em, 1fr));
       gap: 1em; align-items: start; } img { max-width: 100%; }
"""


def page(report, facts):
    """The page: what the clips are, what was found, and plots.

    Args:
        report: What `describe` returns.
        facts: The `Facts` of the clips, for the plots.

    Returns:
        HTML. Without matplotlib it has no plots and says how to get them.
    """
    title = "Audit of " + (report["source"] or f"{report['clips']:,} clips")
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        _table(overview(report)),
        f"<pre>{html.escape(advice(report))}</pre>",
        "<h2>Findings</h2>",
        _findings_table(report),
        *(f"<p>{html.escape(line)}</p>" for line in leak_lines(report)),
        *(_clips_of(kind, found) for kind, found in report["findings"].items()),
        "<h2>Plots</h2>",
        _plots(report, facts),
        "<h2>Labels</h2>",
        _labels(report["labels"]),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        "<body>\n" + "\n".join(parts) + "\n</body>\n</html>\n"
    )


def _table(pairs):
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(text)}</td></tr>"
        for name, text in pairs
    )
    return f"<table>{rows}</table>"


def _findings_table(report):
    head = '<tr><th>finding</th><th class="n">clips</th><th class="n">dropped</th>'
    rows = "".join(
        f'<tr><td>{kind}</td><td class="n">{found["clips"]:,}</td>'
        f'<td class="n">{found["dropped"]:,}</td>'
        f"<td>{html.escape(found['meaning'])}</td></tr>"
        for kind, found in report["findings"].items()
    )
    return f"<table>{head}<th>meaning</th></tr>{rows}</table>"


def _clips_of(kind, found):
    """The first clips of a finding, folded away."""
    if not found["clips"]:
        return ""
    rows = _table((clip["path"], clip["detail"]) for clip in found["first"][:SHOWN])
    more = found["clips"] - SHOWN
    rest = f"<p>and {more:,} more, in findings.csv</p>" if more > 0 else ""
    return f"<details><summary>{kind}: which</summary>{rows}{rest}</details>"


def _plots(report, facts):
    try:
        drawn = plots.figures(report, facts)
    except ImportError as error:
        return f"<p>{html.escape(str(error))}</p>"
    pictures = (
        f"<figure><figcaption>{title}</figcaption>"
        f'<img alt="{title}" src="data:image/png;base64,{_png(figure)}"></figure>'
        for title, figure in drawn.items()
    )
    return f'<div class="plots">{"".join(pictures)}</div>'


def _png(figure):
    file = io.BytesIO()
    # Without the name of the program, which would change with its version.
    figure.savefig(file, format="png", dpi=110, metadata={"Software": None})
    return base64.b64encode(file.getvalue()).decode()


def _labels(labels):
    if not labels["clips"]:
        return "<p>The clips have no labels.</p>"
    rows = "".join(
        f'<tr><td>{html.escape(name)}</td><td class="n">{n:,}</td></tr>'
        for name, n in sorted(labels["clips"].items(), key=lambda item: -item[1])
    )
    table = f"<table>{rows}</table>"
    return f"<details><summary>clips of each class</summary>{table}</details>"
