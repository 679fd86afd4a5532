"""Long jobs as stages that are done once: what is there is not made again."""

import json
import os
import platform
import shlex
import subprocess
import time
from pathlib import Path

import keras


class Stages:
    """A folder of results, one JSON file for each stage.

    Args:
        out: The folder; one of an earlier run goes on.
        settings: Dictionary of what all results depend on. It is kept in
            `settings.json`.
        made_by: Dictionary of command, commit and machine, kept beside each result; it
            may differ from that of an earlier run.

    Raises:
        ValueError: If the folder holds results of other settings.
    """

    def __init__(self, out, settings, made_by):
        self.out, self.made_by = Path(out), made_by
        self._require("settings", settings)

    def require(self, name, settings):
        """The same for what some results depend on besides, in `settings-NAME.json`.

        Args:
            name: Of these results.
            settings: Dictionary.

        Raises:
            ValueError: If the folder holds such results of other settings.
        """
        self._require(f"settings-{name}", settings)

    def _require(self, name, settings):
        file = self.out / f"{name}.json"
        settings = json.loads(json.dumps(settings))
        known = read_json(file) if file.is_file() else settings
        differ = sorted(_differences(known, settings))
        if differ:
            raise ValueError(
                f"{self.out} holds results of other settings: {', '.join(differ)}. "
                "Results of different settings are not mixed: give another --out."
            )
        write(file, as_json(settings))

    def is_done(self, name):
        """Whether the stage was finished, now or in an earlier run."""
        return self.file(name).is_file()

    def done(self, name, run):
        """What `run()` returned, now or in an earlier run that was cut off later.

        Args:
            name: Name of the stage, `fold-1/seed-0/scratch`; the file
                `fold-1/seed-0/scratch.json` appears when the stage is finished.
            run: Function without arguments that returns a dictionary for JSON. The
                seconds of runs that were interrupted count too, but those of one that
                was killed by SIGKILL.
        """
        file, spent = self.file(name), self.out / f"{name}.spent"
        if file.is_file():
            return read_json(file)
        started = time.monotonic()
        before = float(spent.read_text(encoding="utf-8")) if spent.is_file() else 0.0
        try:
            result = run()
        except BaseException:  # SystemExit, too: SIGTERM ends a run so
            write(spent, str(before + time.monotonic() - started))
            raise
        seconds = round(before + time.monotonic() - started, 1)
        record = {**result, "seconds": seconds, "made_by": self.made_by}
        write(file, as_json(record))
        spent.unlink(missing_ok=True)
        return read_json(file)

    def file(self, name):
        """Path of a stage's result."""
        return self.out / f"{name}.json"


def _differences(known, settings, path=""):
    """Names of the settings that differ, `protocol.epochs` for example."""
    if isinstance(known, dict) and isinstance(settings, dict):
        for key in {*known, *settings}:
            both = known.get(key), settings.get(key)
            yield from _differences(*both, f"{path}.{key}" if path else key)
    elif known != settings:
        yield f"{path} is {known!r} there, {settings!r} here"


def provenance(records):
    """What made results: commands, commits and machines, each once, and the duration.

    Args:
        records: Dictionaries as `Stages.done` returns them.
    """
    names = ("command", "commit", "machine")
    found = {
        name: list(dict.fromkeys(r["made_by"][name] for r in records)) for name in names
    }
    minutes = round(sum(record["seconds"] for record in records) / 60)
    return {**found, "duration": f"{minutes // 60} h {minutes % 60:02d} min"}


def made_by(recipe, arguments):
    """Command, commit and machine of this run.

    Args:
        recipe: Name of the module, `recipes.esc10.train`.
        arguments: List of its arguments.
    """
    return {
        "command": f"python -m {recipe} {shlex.join(arguments)}",
        "commit": commit(),
        "machine": machine(),
    }


def machine():
    """Architecture, cores and backend."""
    return f"{platform.machine()}, {os.cpu_count()} cores, {keras.backend.backend()}"


def commit():
    """The commit of the code, marked where files were changed since."""
    git = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    here = Path(__file__).parent
    done = subprocess.run(git, cwd=here, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def read_json(file):
    return json.loads(Path(file).read_text(encoding="utf-8"))


def as_json(value):
    return json.dumps(value, indent=2) + "\n"


def write(path, text):
    """Writes a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
