"""Which audio files a folder holds, for trees of millions of them."""

import itertools
import os

from tqdm import tqdm

from keras_asit.data.prepare.writing import Odd, tell
from keras_asit.data.sources import AUDIO_SUFFIXES

# Of sound that is not read.
OTHER_SUFFIXES = (".aac", ".amr", ".m4a", ".mka", ".mkv", ".mp4", ".webm", ".wma")


def audio_files(folder, title, below=("",)):
    """Yields the audio files below a folder, sorted, with a progress bar.

    The files of a folder come before its subfolders. Hidden names (`._1.wav`,
    `__MACOSX`) are left out. No file is opened, and none is asked for its
    size: of millions of files one name each is held, a folder at a time. Files
    of other formats of sound, such as .m4a, are told.

    Args:
        folder: Path of a folder. Links to folders elsewhere are followed.
        title: Name of the data set, for what is told.
        below: The subfolders to look into; the folder itself by default.

    Yields:
        Paths relative to `folder`, with `/`.
    """
    seen = {os.path.join(os.path.realpath(folder), "")}
    other = Odd()
    walks = (
        _walk(folder, f"{name}/" if name else "", title, seen, other) for name in below
    )
    yield from tqdm(
        itertools.chain.from_iterable(walks),
        desc=f"{title}: files",
        unit="",
        unit_scale=True,
        leave=False,
        disable=None,  # where nobody looks
    )
    other.tell(title, "files of other formats, not read: convert them to flac or wav")


def by_stem(paths, problems):
    """Paths by themselves without suffix; two files of one name are a problem.

    So a set is found in whatever format it was converted to.
    """
    found = {}
    for path in paths:
        first = found.setdefault(os.path.splitext(path)[0], path)
        if first != path:
            problems.append(f"{first} and {path} are one clip: keep one of them")
    return found


def _walk(root, below, title, seen, other):
    """Paths below a folder.

    `seen` is a set of the real trees that are looked into; `other` grows by the files
    of other formats.
    """
    files, folders = [], []
    with os.scandir(os.path.join(root, below)) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith(".") or name == "__MACOSX":
                continue
            if not entry.is_dir():
                if name.lower().endswith(AUDIO_SUFFIXES):
                    files.append(name)
                elif name.lower().endswith(OTHER_SUFFIXES):
                    other.add(below + name)
            elif not entry.is_symlink():
                folders.append(name)
            elif _leads_on(entry.path, seen):
                folders.append(name)
                tell(title, f"{below}{name} leads out of the folder")
            else:
                tell(title, f"{below}{name} is a link to what is read anyway, left out")
    for name in sorted(files):
        yield below + name
    for name in sorted(folders):
        yield from _walk(root, f"{below}{name}/", title, seen, other)


def _leads_on(link, seen):
    """Whether a link leads to a tree apart from those seen, which it then joins.

    One that leads back would have no end.
    """
    target = os.path.join(os.path.realpath(link), "")
    apart = not any(t.startswith(target) or target.startswith(t) for t in seen)
    seen.update([target] * apart)
    return apart
