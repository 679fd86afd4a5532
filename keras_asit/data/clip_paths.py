"""From a path as a manifest writes it to a file that may be opened."""

import os

from keras_asit.data.manifest_text import printable

# A path with one of these, put between two NULs, is not yet absolute and normal, or
# not with its root before it.
_ODD = ("//", "/.", "/\0", "\0.", "\0\0")


def resolve(paths, root):
    """Absolute, normal paths from paths as written, relative ones against `root`.

    Nearly all paths are plain: a block of those is only joined to the root, which is
    many times as fast as `os.path` for each of two million.

    Args:
        paths: List of strings.
        root: Absolute path of a folder.

    Returns:
        List of strings, without `..`, `.` and double slashes.
    """
    text = "\0".join(["", *paths, ""])
    if os.sep == "/" and not any(odd in text for odd in _ODD):
        absolute = text.count("\0/")
        if absolute == 0:
            return list(map(_with_separator(root).__add__, paths))
        if absolute == len(paths):
            return list(paths)
    return [os.path.normpath(os.path.join(root, path)) for path in paths]


class Confinement:
    """Tells which clips lie in a folder, and which are led out of it by links.

    A manifest may come from anywhere. With `..`, with an absolute path, or with a
    symbolic link that an archive brought along, it could name any file of the
    machine. Names are checked when a manifest is read. A link costs a look at the
    disk: those of folders are looked up once a folder, that of a clip right before
    the clip is opened.

    A link that stays inside is fine, and so is a root that is reached by one. What
    somebody changes on the disk between check and opening is not seen.

    Args:
        root: The folder.

    Example:

    >>> import os
    >>> confinement = Confinement("clips")
    >>> confinement.holds(os.path.abspath("clips/dog/1.wav"))
    True
    >>> confinement.holds(os.path.abspath("elsewhere/1.wav"))
    False
    """

    def __init__(self, root):
        self.root = os.path.abspath(root)
        self._real_root = os.path.realpath(root)
        self._inside = tuple(map(_with_separator, (self.root, self._real_root)))
        self._folders = {self.root: True, self._real_root: True}

    def holds_name(self, path):
        """Whether an absolute, normal path lies inside by its name alone."""
        return path.startswith(self._inside)

    def holds_folder(self, folder):
        """Whether a folder is inside with its links followed; looked up once."""
        new = []
        while folder not in self._folders and os.path.dirname(folder) != folder:
            new.append(folder)
            folder = os.path.dirname(folder)
        inside = self._folders.get(folder, False)
        for folder in reversed(new):
            inside = inside and self._stays(folder)
            self._folders[folder] = inside
        return inside

    def holds_folder_of(self, path):
        """Whether the folder of a file is inside with its links followed."""
        return self.holds_folder(os.path.dirname(path))

    def holds(self, path):
        """Whether a file is inside with all links followed.

        Args:
            path: Absolute, normal path, as in `Manifest.paths`. The file need not
                exist.
        """
        return self.holds_folder_of(path) and self._stays(path)

    def refusal(self, path):
        """Why a path that is not held is refused, and what to do."""
        outside = f"lies outside {printable(self.root)}"
        if self.holds_name(path):
            outside += f" by a link to {printable(os.path.realpath(path))}"
        return (
            f"{outside}: if you trust it, give its folder as root or allow_outside=True"
        )

    def _stays(self, path):
        """Whether a name in a folder that is held leads to something inside."""
        if not os.path.islink(path):
            return True
        real = os.path.realpath(path)
        return real == self._real_root or real.startswith(self._inside[1])


def _with_separator(folder):
    return folder.rstrip(os.sep) + os.sep
