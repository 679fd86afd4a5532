"""Which clips `read_manifest` will refuse unless it is allowed to leave the folder."""

import os

from keras_asit.data.clip_paths import Confinement


class Outside:
    """The first of some clips that lies outside a folder, by its path or by a link.

    Each folder is looked into once. No clip is asked for by itself, as there may be
    millions.

    Args:
        root: Absolute path of the folder of the manifest.

    Attributes:
        first: Path of that clip, or None.
    """

    def __init__(self, root):
        self.first = None
        self._root, self._confinement = root, Confinement(root)
        self._links = {}  # by folder: the names of links in it; None if it is outside

    def add(self, path):
        """Looks at a clip that exists, by its path relative to the root, with `/`."""
        if self.first is not None:
            return
        folder, _, name = path.rpartition("/")
        if folder not in self._links:
            self._links[folder] = self._look_into(self._absolute(folder))
        links = self._links[folder]
        if links is None or (
            name in links and not self._confinement.holds(self._absolute(path))
        ):
            self.first = path

    def _absolute(self, path):
        return os.path.normpath(os.path.join(self._root, path))

    def _look_into(self, folder):
        if not self._confinement.holds_folder(folder):
            return None
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_symlink()}
