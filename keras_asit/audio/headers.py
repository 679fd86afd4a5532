"""What the first bytes of a file say, before libsndfile sees it.

libsndfile guesses: a text named .au is raw samples to it, and it takes some formats
from two bytes. Here a file has to begin as one of a few formats does.
"""

import os
import re
import stat

from keras_asit.audio.errors import AudioError, cannot_be_opened

FIRST_BYTES = 16
AUDIO = re.compile(
    rb"RIF[FX]....WAVE|RF64....WAVE|riff\x2e\x91\xcf\x11|FORM....AIF[FC]|fLaC|OggS"
    rb"|caff....desc|\.snd|dns\.|NIST_1A\n|ID3|\xff[\xe0-\xfe]",
    re.DOTALL,
)
NOT_AUDIO = (
    (rb"PK[\x03\x05]", "is a zip archive"),
    (rb"\x1f\x8b", "is a gzip archive"),
    (rb"....ftyp", "is MP4 (m4a)"),
    (rb"\x1aE\xdf\xa3", "is Matroska (webm)"),
    (rb"%PDF", "is a PDF"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8", "is a picture"),
    (rb"version https:", "is a Git LFS pointer, not the file itself"),
    (rb"(\xef\xbb\xbf)?\s*<", "is a web page or XML"),
    (rb"\0+$", "begins with zeros, as an unfinished download does"),
    (rb"[\t\n\r\x20-\x7e]+$", "is text"),
    (b"", "is damaged, or of an unknown format"),
)


def check_is_a_file(path):
    """Raises AudioError unless the path is that of a file with something in it."""
    try:
        status = os.stat(path)
    except FileNotFoundError as error:
        raise AudioError(path, "does not exist. Check the path.") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise cannot_be_opened(path, error) from error
    if stat.S_ISDIR(status.st_mode):
        raise AudioError(path, "is a directory, not an audio file. Name a file in it.")
    if not stat.S_ISREG(status.st_mode):
        raise AudioError(path, "is not a regular file. Save the audio to one first.")
    if status.st_size == 0:
        raise AudioError(path, "is empty (0 bytes). Fetch it again or leave it out.")


def not_audio(path, head):
    """The error of a file that begins with these bytes, which no audio file does."""
    what = next(what for start, what in NOT_AUDIO if re.match(start, head, re.DOTALL))
    return AudioError(
        path,
        f"{what}, not wav, flac, ogg or mp3. Convert it, fetch it again, or leave it "
        "out.",
    )
