"""A file of JSON lines that a killed run leaves usable."""

import json
import os
import time

_FLUSH_SECONDS = 1.0


class Journal:
    """What was measured so far, one JSON object a line, appended as it comes.

    A run that was killed left whole lines and perhaps a part of one, which is cut
    off. The first line says what the others hold; where it is another one than
    expected, the file begins anew.

    Args:
        path: The file; made where there is none.
        header: Dict that the first line must hold.

    Example:
        with Journal("clips.jsonl", {"format": "clips, version 1"}) as journal:
            known = list(journal.entries())
            journal.append({"path": "a.wav", "size": 44})
    """

    def __init__(self, path, header):
        self.path, self._header = path, header
        self._file, self._flushed = None, 0.0

    def __enter__(self):
        if not self._is_ours():
            with open(self.path, "wb") as file:
                file.write(_line(self._header))
        self._cut_torn_line()
        self._file = open(self.path, "ab")
        return self

    def __exit__(self, *error):
        self._file.close()

    def entries(self):
        """Yields the entries in order, without lines that are not JSON objects."""
        with open(self.path, "rb") as file:
            next(file, None)
            for line in file:
                entry = _parsed(line)
                if entry is not None:
                    yield entry

    def append(self, entry):
        """Writes an entry; at most a second of work is lost when killed."""
        self._file.write(_line(entry))
        now = time.monotonic()
        if now - self._flushed > _FLUSH_SECONDS:
            self._file.flush()
            self._flushed = now

    def _is_ours(self):
        try:
            with open(self.path, "rb") as file:
                return _parsed(file.readline()) == self._header
        except FileNotFoundError:
            return False

    def _cut_torn_line(self):
        with open(self.path, "r+b") as file:
            end = file.seek(0, os.SEEK_END)
            while end:
                start = max(0, end - 65536)
                file.seek(start)
                newline = file.read(end - start).rfind(b"\n")
                if newline >= 0:
                    file.truncate(start + newline + 1)
                    return
                end = start
            file.truncate(0)


def _line(entry):
    return json.dumps(entry, separators=(",", ":")).encode("ascii") + b"\n"


def _parsed(line):
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None
