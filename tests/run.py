"""Runs the test suite once on TensorFlow and once on JAX, at the same time.

    python tests/run.py [arguments of pytest]

Keras fixes its backend at import, so each backend needs a process of its own. Each
gets one thread for its arithmetic: two side by side then fill two cores without
waiting for each other. A backend's output is printed whole once it has finished, and
the last lines sum up both. The exit status is 0 only if every test passed on both.

Tests marked `backend_free` are the same on every backend: TensorFlow's suite alone
runs them.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / "build" / "test-logs"
BACKENDS = {"tensorflow": [], "jax": ["--not-backend-free"]}  # and what each adds
NOTHING_COLLECTED = 5  # pytest's exit status
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "NPROC": "1",  # JAX on the CPU sizes its thread pool by it
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # most of a JAX test is compiling
    "JAX_COMPILATION_CACHE_DIR": str(ROOT / "build" / "jax-cache"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.3",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}


def start(backend, arguments):
    """Starts pytest for one backend; returns the process and its log file."""
    log = LOGS / f"{backend}.log"
    environment = {
        **os.environ,
        **ONE_THREAD,
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "PYTHONUNBUFFERED": "1",
    }
    cache = f"cache_dir=.pytest_cache/{backend}"
    command = [sys.executable, "-m", "pytest", "-o", cache, "--durations=10"]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, *BACKENDS[backend], *arguments],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    return process, log


def outcome(backend, log):
    """One line from pytest's last: `tensorflow: 120 passed, 0 failed, 2 skipped`."""
    lines = log.read_text(errors="replace").splitlines() or [""]
    last = next(
        (line for line in reversed(lines) if re.search(r" in [\d.]+s", line)), ""
    )
    count = {name: int(number) for number, name in re.findall(r"(\d+) (\w+)", last)}
    failed = sum(count.get(name, 0) for name in ("failed", "error", "errors"))
    passed, skipped = count.get("passed", 0), count.get("skipped", 0)
    return f"{backend}: {passed} passed, {failed} failed, {skipped} skipped"


def main(arguments):
    LOGS.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    print(f"Testing on {' and '.join(BACKENDS)}, side by side; the output so far is in")
    print(f"{LOGS.relative_to(ROOT)}/", flush=True)
    runs = {backend: start(backend, arguments) for backend in BACKENDS}
    try:
        statuses = {}
        for backend, (process, log) in runs.items():
            statuses[backend] = process.wait()
            print(f"\n#### {backend}\n\n{log.read_text(errors='replace')}", flush=True)
    except KeyboardInterrupt:
        for process, _ in runs.values():
            process.terminate()
        return 130
    minutes = (time.monotonic() - began) / 60
    print(f"Both backends in {minutes:.1f} minutes")
    for backend, (_, log) in runs.items():
        if statuses[backend]:
            print(f"{backend}: pytest ended with exit status {statuses[backend]}")
        print(outcome(backend, log))
    return overall(statuses.values())


def overall(statuses):
    """The exit status of all. One backend may have no test to run, not every one."""
    collected = [abs(status) for status in statuses if status != NOTHING_COLLECTED]
    return max(collected, default=NOTHING_COLLECTED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
