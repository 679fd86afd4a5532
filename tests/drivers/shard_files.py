"""What the tests of writing shards share: settings, and what lies in the folder."""

import csv

SETTINGS = {"sample_rate": 8000, "shard_size": "30kB", "seed": 1}


def run_of_beam(*arguments):
    raise AssertionError("there was nothing to do")


def files_of(folder):
    """Bytes of the files of a set, without those of its plan."""
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def failures_of(folder):
    """Reasons of `failures.csv`, by path."""
    with open(folder / "failures.csv", newline="") as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}
