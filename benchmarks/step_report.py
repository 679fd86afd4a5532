"""The figures of `benchmarks.train_step`, and its tables.

    python -m benchmarks.step_report build/train_step.json

prints the tables of a result again, that of a run which was interrupted too.
"""

import itertools
import json
import sys
from pathlib import Path

import numpy as np

PEERS = ("torch", "torch-compiled")


def summary(answers, first, rates, steps, batch, flops, prepared=None):
    """One row of figures a framework, medians over the rounds.

    Args:
        answers: What the workers said of each round, by framework.
        first: What they said of the first step, by framework.
        rates: Their matrix rates in each round in GFLOP/s, by framework.
        steps: Steps a round.
        batch: Clips a step.
        flops: FLOPs of a step for one clip.
        prepared: Seconds of filterbank and corruption of one batch in each round, by
            framework; none of a framework that has no such figure.
    """
    speed = {
        framework: np.array([steps * batch / a["seconds"] for a in rounds])
        for framework, rounds in answers.items()
    }
    highest = np.nanmax([rates[framework] for framework in speed], axis=0)
    rows = {}
    for framework, clips in speed.items():
        rounds = answers[framework]
        on_cpu = rounds[0]["memory_gb"] == rounds[0]["rss_gb"]
        rows[framework] = {
            "clips_per_second": float(np.median(clips)),
            "milliseconds_per_clip": float(np.median(1000 / clips)),
            **_ratios(clips, speed),
            "share_of_matrix_rate": float(np.median(clips * flops / 1e9 / highest)),
            "own_matrix_gflops": float(np.nanmedian(rates[framework])),
            "cpu_seconds_per_step": float(
                np.median([a["cpu_seconds"] / steps for a in rounds])
            ),
            "first_step_seconds": first[framework]["seconds"],
            # A device's of before the first filterbank and corruption.
            "peak_memory_gb": rounds[-1 if on_cpu else 0]["memory_gb"],
            "peak_rss_gb": rounds[-1]["rss_gb"],
        }
        seconds = (prepared or {}).get(framework)
        if seconds:
            share = np.array(seconds) * clips / batch
            rows[framework]["share_of_preparation"] = float(np.median(share))
    return rows


def _ratios(clips, speed):
    """Speed in that of the peers which have one."""
    found = {}
    for peer in PEERS:
        if peer in speed:
            name = peer.replace("-", "_")
            found[f"ratio_to_{name}"] = float(np.median(clips / speed[peer]))
            found[f"ratios_to_{name}"] = (clips / speed[peer]).round(3).tolist()
    return found


def heading(result):
    """What it was measured on."""
    about = result["machine"]
    versions = ", ".join(f"{k} {v}" for k, v in about["versions"].items())
    gpu = f"{about['gpu']}, " if about.get("gpu") else ""
    return (
        f"{gpu}{about['cpu']}, {about['cpus']} CPUs, load {about['load']}; "
        f"{versions}; commit {about['commit']}; {result['rounds']} rounds of "
        f"{result['steps']} steps, {result['duration_seconds']:.0f} s"
    )


def tables(result):
    """The result as lines of markdown: one table a size, dtype and length."""
    yield heading(result)
    groups = itertools.groupby(result["cases"], key=_group)
    for (network, dtype, seconds), cases in groups:
        cases = list(cases)
        yield ""
        same = cases[0]
        yield (
            f"{network}, {dtype}, {seconds:g} s ({same['frames']} frames, "
            f"{same['tokens']} tokens): {same['gflop_per_clip']:.3g} GFLOP a clip"
        )
        yield ""
        yield from _of_batches(cases, result["frameworks"])
        yield from _failures(cases)
    if len({case["frames"] for case in result["cases"]}) > 1:
        yield from _of_lengths(result["cases"], result["frameworks"])


def _group(case):
    return case["network"], case["dtype"], case["seconds"]


def _line(*cells):
    return f"| {' | '.join(map(str, cells))} |"


def _of_batches(cases, frameworks):
    peers = [peer for peer in PEERS if peer in frameworks]
    names = (
        "batch",
        "framework",
        "clips/s",
        "ms a clip",
        *(f"x {peer} (lowest to highest)" for peer in peers),
        "of matrix rate",
        "matrix rate",
        "filterbank and corruption",
        "first step",
        "peak memory",
    )
    yield _line(*names)
    yield "|" + "---|" * len(names)
    for case in cases:
        for framework, row in case["frameworks"].items():
            cells = _cells(case, row, peers) if "failed" not in row else None
            cells = cells or ["-"] * (len(names) - 2)
            yield _line(case["batch"], framework, *cells)


def _cells(case, row, peers):
    yield f"{row['clips_per_second']:.3g}"
    yield f"{row['milliseconds_per_clip']:.3g}"
    for peer in peers:
        name = peer.replace("-", "_")
        every = row.get(f"ratios_to_{name}")
        median = row.get(f"ratio_to_{name}")
        yield f"{median:.2f} ({min(every):.2f} to {max(every):.2f})" if every else "-"
    yield f"{100 * row['share_of_matrix_rate']:.0f} %"
    yield f"{case['matrix_gflops']:.0f} GFLOP/s"
    share = row.get("share_of_preparation")
    yield "-" if share is None else f"{100 * share:.1f} % of the step"
    yield f"{row['first_step_seconds']:.1f} s"
    yield f"{row['peak_memory_gb']:.2f} GB"


def _failures(cases):
    """Why a row has no figures, a line each."""
    lines = [
        f"- {framework}, batch {case['batch']}: {row['failed']}"
        for case in cases
        for framework, row in case["frameworks"].items()
        if "failed" in row
    ]
    yield from ["", *lines] if lines else []


def _of_lengths(cases, frameworks):
    """The cost of a clip by its length, which the tables above have in pieces."""
    names = ("network", "dtype", "batch", "framework", "length", "tokens")
    names += ("GFLOP a clip", "clips/s", "ms a clip", "of matrix rate")
    yield from ("", "By length:", "", _line(*names), "|" + "---|" * len(names))

    def order(case):
        return case["network"], case["dtype"], case["batch"], case["frames"]

    by_length = sorted(cases, key=order)
    for _, same in itertools.groupby(by_length, key=lambda case: order(case)[:3]):
        same = list(same)
        for framework in frameworks:
            for case in same:
                row = case["frameworks"].get(framework)
                if row is None:
                    continue
                cells = ("-",) * 3
                if "failed" not in row:
                    cells = (
                        f"{row['clips_per_second']:.3g}",
                        f"{row['milliseconds_per_clip']:.3g}",
                        f"{100 * row['share_of_matrix_rate']:.0f} %",
                    )
                yield _line(
                    *order(case)[:3],
                    framework,
                    f"{case['seconds']:g} s",
                    case["tokens"],
                    f"{case['gflop_per_clip']:.3g}",
                    *cells,
                )


if __name__ == "__main__":
    print(*tables(json.loads(Path(sys.argv[1]).read_text())), sep="\n")
