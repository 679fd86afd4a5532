"""A manifest of two million rows, in a process of its own, by the processor's time."""

import json
import os
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.backend_free, pytest.mark.large]

CLIPS = 2_000_000
COLUMNS = "path,labels,speaker,fold,split,source,licence,sample_rate,frames,duration_s"
READ = """
import json, sys, time
from keras_asit.data import read_manifest
before = time.process_time()
manifest = read_manifest(sys.argv[1])
seconds = time.process_time() - before
targets = manifest.class_indices()
assert targets.shape == (527,) and len(manifest.columns) == int(sys.argv[2])
# Not ru_maxrss, which begins with that of the parent.
peak = next(line.split()[1] for line in open("/proc/self/status") if "VmHWM" in line)
print(json.dumps([len(manifest), len(targets), seconds, int(peak) * 1024]))
"""


def rows():
    """Path and class numbers of each clip, like those of AudioSet."""
    for i in range(CLIPS):
        yield (
            f"audio/{i % 1000:03}/Y{i * 2654435761 % 2**64:016x}.flac",
            (i % 527, i % 7),
        )


def write_csv(file):
    file.write(f"{COLUMNS}\n")
    for i, (path, (a, b)) in enumerate(rows()):
        frames = i % 320000
        cells = f"{i % 10},train,AudioSet,CC-BY-4.0,32000,{frames},{frames / 32000:.4f}"
        file.write(f"{path},/m/{a};/m/{b},,{cells}\n")
    return 8


def write_json(file):
    file.write('{"data": [\n')
    for i, (path, (a, b)) in enumerate(rows()):
        comma = "," if i else ""
        file.write(f'{comma}{{"wav": "{path}", "labels": "/m/{a},/m/{b}"}}\n')
    file.write("]}\n")
    return 0


@pytest.mark.parametrize("write", [write_csv, write_json])
def test_two_million_rows(tmp_path, write):
    path = tmp_path / f"manifest.{write.__name__.removeprefix('write_')}"
    with open(path, "w") as file:
        columns = write(file)
    done = subprocess.run(
        [sys.executable, "-c", READ, path, str(columns)],
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr
    clips, targets, seconds, peak = json.loads(done.stdout)
    assert clips == targets == CLIPS
    assert seconds < 30
    assert peak < 2e9
