"""What a figure was measured on: the machine, the versions, the commit."""

import os
import platform
import re
import resource
import subprocess
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

PACKAGES = (
    "keras", "tensorflow-cpu", "tensorflow", "jax", "jaxlib", "jax-cuda12-plugin",
    "jax-cuda13-plugin", "torch", "numpy", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13",
)  # fmt: skip


def cpu_model():
    """The processor's name as the kernel knows it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":")[1].strip() for line in lines if "model name" in line]
    return names[0] if names else platform.processor() or platform.machine()


def cpu_count():
    """Number of processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def commit():
    """The commit of this code, `-dirty` if files were changed since."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    here = Path(__file__).parent
    result = subprocess.run(command, cwd=here, capture_output=True, text=True)
    return result.stdout.strip() or "unknown"


def versions(packages=PACKAGES):
    """Installed versions of the packages that matter here, by name."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def description():
    """Commit, versions, processor and load as one dictionary."""
    return {
        "commit": commit(),
        "versions": versions(),
        "cpu": cpu_model(),
        "cpus": cpu_count(),
        "load": round(os.getloadavg()[0], 2),
    }


def peak_rss_gb():
    """Largest resident set of this process so far, in GB (1e9 bytes)."""
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss begins with that of the process that started it
        peak = re.search(r"VmHWM:\s*(\d+) kB", status.read_text())
        if peak:
            return int(peak[1]) * 1024 / 1e9
    unit = 1024 if platform.system() == "Linux" else 1
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def matrix_rate(prepare, side, products=1, repetitions=3):
    """The matrix rate in GFLOP/s: the fastest of a few large products.

    Args:
        prepare: Function of a float32 numpy matrix. It returns a function that
            multiplies the matrix by itself, on all processors or the GPU, as often
            as it is told, and comes back when the last product is there.
        side: Rows and columns of the matrix.
        products: Products between two looks at the clock: 1 where a product takes
            long, more where to start one costs something beside it.
        repetitions: Looks at the clock, after one that does not count.
    """
    matrix = np.random.default_rng(0).normal(size=(side, side)).astype("float32")
    multiply, seconds = prepare(matrix), []
    for _ in range(repetitions + 1):
        start = time.perf_counter()
        multiply(products)
        seconds.append(time.perf_counter() - start)
    return 2 * side**3 * products / min(seconds[1:]) / 1e9


def rate_of(prepare):
    """`matrix_rate` as a worker's answer to a side and a number of products."""

    def answer(side, products):
        return {"gflops": matrix_rate(prepare, side, products)}

    return answer
