"""Files that are whole or not there: written under another name, then renamed."""

import contextlib
import errno
import os


@contextlib.contextmanager
def replacing(path, part=None, durable=False):
    """A path to write to; what was written takes its name when the block ends.

    Who reads `path` meanwhile, or after a crash, finds what was there before. After an
    error, or Ctrl-C, nothing of the new file is left.

    Args:
        path: Path of the file.
        part: The other name, in the same folder. By default one of this process, as
            several may write the same file.
        durable: Whether the file and its name are on the disk when this returns, so
            that it is whole after the machine has crashed too.

    Raises:
        OSError: where the file system refuses.

    Example:

    >>> with replacing("letter.txt") as part:
    ...     with open(part, "w") as file:
    ...         length = file.write("Dear reader")
    >>> open("letter.txt").read()
    'Dear reader'
    """
    part = f"{path}.{os.getpid()}.part" if part is None else part
    try:
        yield part
        if durable:
            _sync(part, os.O_RDWR)
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.remove(part)
        raise
    if durable and os.name == "posix":  # elsewhere a folder cannot be opened
        try:
            _sync(os.path.dirname(path) or os.curdir, os.O_RDONLY)
        except OSError as error:  # some file systems have no fsync of folders
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise


def _sync(path, flags):
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
