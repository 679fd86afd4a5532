"""Event files, which TensorBoard reads, written without TensorFlow."""

import contextlib
import itertools
import os
import socket
import time
from pathlib import Path

NEW_FILE = "brain.Event:2"  # the version that a file begins with


def need_tensorboard():
    """Raises an ImportError that says how to install it, where it is not."""
    try:
        import tensorboard.summary.writer.record_writer  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "callbacks.TensorBoard needs the package tensorboard: "
            "pip install 'keras-asit[tensorboard]'."
        ) from error


class EventFile:
    """Scalars and pictures by step, in files of one folder.

    The package's own `EventFileWriter` opens files by way of TensorFlow where that is
    installed, and a JAX program must not import it. The records and the messages in
    them are the package's.

    What is written is in the file when a method returns. After an error the file ends
    with its last whole record, and the next call begins another file.

    Args:
        folder: Path of a local folder, made where it is missing.
        first_step: Step from which on this run writes. Of earlier runs in the folder
            TensorBoard shows what lies before it: a run that was killed wrote more than
            its last checkpoint knows.
    """

    def __init__(self, folder, first_step=0):
        self.folder = Path(folder)
        self._first_step = first_step
        self._file, self._whole = None, 0  # and how many bytes of it are whole records
        self._is_first = True

    def write_scalars(self, scalars, step):
        """Writes a dict of numbers by tag."""
        from tensorboard.compat.proto import summary_pb2

        values = [
            summary_pb2.Summary.Value(tag=tag, simple_value=float(value))
            for tag, value in scalars.items()
        ]
        if values:
            self._write_summary(values, step)

    def write_picture(self, tag, png, step):
        """Writes a picture.

        Args:
            tag: Name of the picture.
            png: Bytes of a PNG file.
            step: Step that it is of.
        """
        from tensorboard.compat.proto import summary_pb2

        # A PNG has its size behind 16 bytes, as two big-endian integers.
        width, height = (int.from_bytes(png[at : at + 4], "big") for at in (16, 20))
        image = summary_pb2.Summary.Image(
            height=height, width=width, colorspace=4, encoded_image_string=png
        )
        self._write_summary([summary_pb2.Summary.Value(tag=tag, image=image)], step)

    def close(self):
        """Ends the file; a later call begins another."""
        if self._file is not None:
            file, self._file = self._file, None
            file.close()

    def _write_summary(self, values, step):
        from tensorboard.compat.proto import summary_pb2

        self._write(step=step, summary=summary_pb2.Summary(value=values))

    def _write(self, **contents):
        try:
            if self._file is None:
                self._open()
            self._record(**contents)
        except BaseException:
            self._give_up()
            raise

    def _open(self):
        from tensorboard.compat.proto import event_pb2

        self.folder.mkdir(parents=True, exist_ok=True)
        self._file, self._whole = _new_file(self.folder), 0
        self._record(file_version=NEW_FILE)
        if self._is_first:
            start = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
            self._record(step=self._first_step, session_log=start)
            self._is_first = False

    def _record(self, **contents):
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        event = event_pb2.Event(wall_time=time.time(), **contents)
        RecordWriter(self._file).write(event.SerializeToString())
        self._file.flush()
        self._whole = self._file.tell()

    def _give_up(self):
        """Closes the file, without the half of a record that may be at its end."""
        if self._file is None:
            return
        file, self._file = self._file, None
        with contextlib.suppress(OSError):
            file.close()  # tries to write the rest once more
        with contextlib.suppress(OSError):
            os.truncate(file.name, self._whole)


def _new_file(folder):
    """A file of a new name; TensorBoard reads a folder's in the order of names."""
    name = f"{int(time.time()):010}.{socket.gethostname()}.{os.getpid()}"
    for number in itertools.count():
        with contextlib.suppress(FileExistsError):
            return (folder / f"events.out.tfevents.{name}.{number:03}").open("xb")
