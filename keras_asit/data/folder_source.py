"""A folder of class folders to a table of clips."""

import os

from tqdm import tqdm

from keras_asit.data.clip_paths import Confinement
from keras_asit.data.clip_table import BLOCK
from keras_asit.data.manifest_text import printable

_PARTS = {"train", "valid", "validation", "val", "dev", "test", "eval"}  # of a set
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3")


def read_folder(root, table):
    """Fill a table with every audio file below a folder, labelled by its first folder.

    Hidden files and folders (`._1.wav`, `.git`, `__MACOSX`) and files of other kinds
    are passed over. A link to a folder inside is, too: its clips are listed where
    they are. One to a folder outside is followed where that is allowed. Folders of
    `train`, `test` and the like alone are refused: they would be the classes.

    Args:
        root: Absolute path of the folder.
        table: A `ClipTable`.
    """
    table.name_row = lambda row: f"file {os.path.relpath(table.paths[row], root)!r}"
    scan = _Scan(root, table.problem, table.allow_outside)
    paths, labels, classes = [], [], set()
    for folder, names in tqdm(scan.folders(), unit=" folders", delay=5, leave=False):
        paths += [folder + name for name in names]
        label = tuple(folder.split(os.sep)[:-1][:1])
        labels += [label] * len(names)
        classes.update(label if names else ())
        if len(paths) >= BLOCK:
            _add(paths, labels, table)
            paths, labels = [], []
    _add(paths, labels, table)
    if classes and {name.lower() for name in classes} <= _PARTS:
        table.problem(
            f"folders {sorted(classes)} would be the classes: give one of them, or a "
            "CSV with the columns path, label and split"
        )
    others = f", only others such as {scan.other}" if scan.other else ""
    table.without_rows = (
        f"no audio files ({', '.join(AUDIO_SUFFIXES)}) below it{others}: expected at "
        "least one clip"
    )


def _add(paths, labels, table):
    first = len(table.paths)
    table.add(range(first, first + len(paths)), paths, labels, {})


class _Scan:
    """Looks into a folder and those below it, one after the other.

    Attributes:
        other: Name of some file that is no audio file.
    """

    def __init__(self, root, problem, allow_outside):
        self.other = ""
        self._root, self._problem = root, problem
        self._allow_outside = allow_outside
        self._confinement = Confinement(root)
        self._followed = set()

    def folders(self):
        """Yields folders, "" or relative with a slash, each with its audio files."""
        waiting = [""]
        while waiting:
            folder = waiting.pop()
            below, names = [], []
            try:
                with os.scandir(os.path.join(self._root, folder)) as entries:
                    for entry in entries:
                        if _is_hidden(entry.name):
                            continue
                        if entry.is_dir():
                            below += [entry.name] * self._is_entered(entry, folder)
                        elif self._is_clip(entry, folder):
                            names.append(entry.name)
            except OSError as error:
                self._problem(f"folder {printable(folder) or '.'}: {error.strerror}")
                continue
            waiting += [folder + name + os.sep for name in sorted(below, reverse=True)]
            yield folder, sorted(names)

    def _is_entered(self, entry, folder):
        if not entry.is_symlink():
            return True
        if self._confinement.holds_folder(entry.path):
            return False
        if not self._allow_outside:
            self._refuse(entry, folder)
            return False
        real = os.path.realpath(entry.path)
        shared = (os.path.commonpath([real, old]) for old in self._followed)
        if any(folder == real or folder in self._followed for folder in shared):
            link = printable(folder + entry.name)
            self._problem(f"link {link}: to a folder that is already listed")
            return False
        self._followed.add(real)
        return True

    def _is_clip(self, entry, folder):
        if not entry.name.lower().endswith(AUDIO_SUFFIXES):
            self.other = self.other or printable(folder + entry.name)
            return False
        if not entry.is_symlink():
            if not entry.is_file():
                self._problem(f"{printable(folder + entry.name)} is no regular file")
            return entry.is_file()
        if self._allow_outside or self._confinement.holds(entry.path):
            return True
        self._refuse(entry, folder)
        return False

    def _refuse(self, entry, folder):
        refusal = self._confinement.refusal(entry.path)
        self._problem(f"{printable(folder + entry.name)} {refusal}")


def _is_hidden(name):
    """Whether a name is of the system's own, as macOS puts them in archives."""
    return name.startswith(".") or name == "__MACOSX"
