"""The command line that writes the manifest of a published data set."""

import sys

from keras_asit import cli
from keras_asit.cli.arguments import Parser


def main(description, write, arguments=None):
    """Prints the path of the manifest; returns the exit status.

    Args:
        description: What is written, a line.
        write: One of `keras_asit.data.prepare`, of the arguments `folder`, `out` and
            `overwrite`.
        arguments: List of words; those of the command line by default.
    """
    parser = Parser(description=description, allow_abbrev=False)
    add = parser.add_argument
    add("--data", required=True, help="folder where the archives are unpacked")
    add("--out", help="manifest to write (default: manifest.csv in the folder)")
    add("--overwrite", action="store_true", help="replace another manifest there")
    options = parser.parse_args(sys.argv[1:] if arguments is None else arguments)

    def job():
        print(write(options.data, out=options.out, overwrite=options.overwrite))

    return cli.exit_status("prepare", job)
