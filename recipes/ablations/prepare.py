"""Ablations run on any manifest: there is nothing to prepare but that.

    python -m recipes.ablations.prepare --data MANIFEST

Tells what a manifest has to hold clips out by. `asit prepare` and the `prepare` of
the other recipes write manifests; `asit audit` cleans them.
"""

import sys

from keras_asit import cli, data
from keras_asit.cli.arguments import Parser

COLUMNS = ("fold", "split", "speaker")


def describe(path, allow_outside=False):
    """Columns to hold out by, with their values: `{column: [values]}`.

    Args:
        path: Path of a manifest.
        allow_outside: As of `data.read_manifest`.

    Raises:
        ValueError: If there is none.
    """
    columns = data.read_manifest(path, allow_outside=allow_outside).columns
    values = {name: sorted({*columns[name]} - {""}) for name in columns}
    found = {name: values[name] for name in COLUMNS if len(values.get(name, ())) >= 2}
    if not found:
        raise ValueError(
            f"Expected one of the columns {list(COLUMNS)} with two values or more, to "
            f"hold clips out by; {path} has the columns {sorted(columns)}. Add one."
        )
    return found


def main(arguments=None):
    parser = Parser(description=__doc__.splitlines()[0], allow_abbrev=False)
    add = parser.add_argument
    add("--data", required=True, help="manifest of labelled clips")
    add("--allow-outside", action="store_true", help="allow clips outside the folder")
    options = parser.parse_args(arguments)

    def job():
        found = describe(options.data, options.allow_outside)
        for name, values in found.items():
            print(f"--column {name}: {len(values)} values, {' '.join(values[:12])}")

    return cli.exit_status("prepare", job)


if __name__ == "__main__":
    sys.exit(main())
