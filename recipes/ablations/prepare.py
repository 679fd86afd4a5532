"""Ablations run on any manifest: there is nothing to prepare but that.

    python -m recipes.ablations.prepare --data MANIFEST

Tells what a manifest has to hold clips out by. `asit prepare` and the `prepare` of
the other recipes write manifests; `asit audit` cleans them.
"""

import argparse
import sys

from keras_asit import cli, data


def describe(path):
    """Columns to hold out by, with their values: `{column: [values]}`.

    Args:
        path: Path of a manifest.
    """
    columns = data.read_manifest(path).columns
    values = {name: sorted({*columns[name]} - {""}) for name in columns}
    return {
        name: values[name]
        for name in ("fold", "split", "speaker")
        if len(values.get(name, ())) >= 2
    }


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="manifest of labelled clips")
    path = parser.parse_args(arguments).data

    def job():
        for name, values in describe(path).items():
            print(f"--column {name}: {len(values)} values, {' '.join(values[:12])}")

    return cli.exit_status("prepare", job)


if __name__ == "__main__":
    sys.exit(main())
