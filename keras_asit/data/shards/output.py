"""The folder that shards are written to: on a disk, or wherever Beam can write.

Every file comes into being under a name of its own and gets its real name once it is
whole. What a killed process leaves is then never taken for a file of the set.
"""

import contextlib
import os
import re
import uuid
from concurrent.futures import ThreadPoolExecutor

from keras_asit.data.shards.layout import PLAN

UNFINISHED = f"{PLAN}/unfinished"
_TOGETHER = 64  # files that are read ahead, for storage that answers slowly


class OutputFolder:
    """A folder by Beam's `FileSystems`: a path, or an address such as `gs://...`.

    Args:
        path: The folder; it need not exist.
    """

    def __init__(self, path):
        path = os.fspath(path)
        is_address = "://" in path
        self.path = path.rstrip("/") if is_address else os.path.abspath(path)

    def __str__(self):
        return self.path

    def full(self, name):
        """The path of a file in the folder."""
        return f"{self.path}/{name}"

    def open(self, name):
        """A file, open for reading bytes."""
        from apache_beam.io.filesystem import CompressionTypes
        from apache_beam.io.filesystems import FileSystems

        return FileSystems.open(
            self.full(name), compression_type=CompressionTypes.UNCOMPRESSED
        )

    def read(self, name):
        """All bytes of a file."""
        with self.open(name) as file:
            return file.read()

    def read_all(self, names):
        """Yields the bytes of files in order, many read at once."""
        with ThreadPoolExecutor(8) as pool:
            for start in range(0, len(names), _TOGETHER):
                yield from pool.map(self.read, names[start : start + _TOGETHER])

    @contextlib.contextmanager
    def writing(self, name):
        """A file, open for writing bytes, that gets its name only when it is whole.

        Where anything goes wrong within, as a full disk, nothing is left.
        """
        from apache_beam.io.filesystem import CompressionTypes
        from apache_beam.io.filesystems import FileSystems

        unfinished = f"{UNFINISHED}/{uuid.uuid4().hex}"
        try:
            with FileSystems.create(
                self.full(unfinished), compression_type=CompressionTypes.UNCOMPRESSED
            ) as file:
                yield file
            self._rename(unfinished, name)
        except BaseException:
            with contextlib.suppress(OSError):
                self.remove(unfinished)
            raise

    def write(self, name, text):
        """Writes a whole file."""
        with self.writing(name) as file:
            file.write(text.encode())

    def make(self, folder):
        """Makes a folder in it, where the storage has such."""
        from apache_beam.io.filesystems import FileSystems

        with contextlib.suppress(OSError):  # it is there
            FileSystems.mkdirs(self.full(folder))

    def sizes(self, folder=""):
        """Dict of the files in a folder, by name, to their bytes."""
        from apache_beam.io.filesystems import FileSystems

        folder = self.full(folder).rstrip("/")
        (result,) = FileSystems.match([f"{_literal(folder)}/*"])
        return {
            re.split(r"[/\\]", file.path)[-1]: file.size_in_bytes
            for file in result.metadata_list
        }

    def first_files(self, limit):
        """Names of at most so many files in the folder and below it."""
        from apache_beam.io.filesystems import FileSystems

        (result,) = FileSystems.match([f"{_literal(self.path)}/**"], limits=[limit])
        paths = (file.path.replace(os.sep, "/") for file in result.metadata_list)
        return [path[len(self.path) + 1 :] for path in paths]

    def exists(self, name):
        """Whether there is such a file."""
        from apache_beam.io.filesystems import FileSystems

        return FileSystems.exists(self.full(name))

    def size(self, name):
        """Bytes of a file."""
        from apache_beam.io.filesystems import FileSystems

        (result,) = FileSystems.match([_literal(self.full(name))])
        return result.metadata_list[0].size_in_bytes if result.metadata_list else None

    def remove(self, name):
        """Removes a file if it is there."""
        from apache_beam.io.filesystems import FileSystems

        if self.exists(name):
            FileSystems.delete([_literal(self.full(name))])

    def remove_unfinished(self):
        """Removes what killed processes have left."""
        for name in self.sizes(UNFINISHED):
            with contextlib.suppress(OSError):  # another process may be quicker
                self.remove(f"{UNFINISHED}/{name}")

    def _rename(self, name, new_name):
        from apache_beam.io.filesystems import FileSystems

        try:
            FileSystems.rename([self.full(name)], [self.full(new_name)])
        except OSError:  # some storage does not replace a file, as HDFS
            if not self.exists(name) or not self.exists(new_name):
                raise
            self.remove(new_name)
            FileSystems.rename([self.full(name)], [self.full(new_name)])


def _literal(path):
    """A pattern of Beam's that stands for this one path."""
    return re.sub(r"([\[*?])", r"[\1]", path)
