"""`asit prepare`."""

import inspect

from keras_asit.cli.arguments import add_command, existing, whole_number

NAMES = ("audioset", "esc50", "esc10", "speech_commands", "voxceleb1", "fsdd")


def add(commands):
    add = add_command(
        commands,
        "prepare",
        run,
        "write the manifest, with the official splits, of a data set that you have",
        "asit prepare esc50 downloads/ESC-50-master",
    ).add_argument
    add("name", choices=NAMES, metavar="NAME", help=f"data set: {', '.join(NAMES)}")
    add(
        "folder",
        type=existing,
        metavar="FOLDER",
        help="where its archives are unpacked",
    )
    add("--out", metavar="CSV", help="manifest to write (default: one in FOLDER)")
    add("--overwrite", action="store_true", help="replace another manifest there")
    add(
        "--version",
        type=whole_number(1),
        help="of speech_commands: 1 or 2 (default: 2)",
    )
    add(
        "--classes",
        type=whole_number(1),
        help="of speech_commands: 12, with _unknown_ and _silence_, or all its words",
    )


def run(settings):
    from keras_asit.data import prepare

    function = getattr(prepare, settings.name)
    given = {"version": settings.version, "classes": settings.classes}
    given = {name: value for name, value in given.items() if value is not None}
    unknown = sorted(given.keys() - inspect.signature(function).parameters)
    if unknown:
        raise ValueError(
            f"expected --{unknown[0]} with speech_commands alone, received it with "
            f"{settings.name}"
        )
    print(
        function(
            settings.folder, out=settings.out, overwrite=settings.overwrite, **given
        )
    )
