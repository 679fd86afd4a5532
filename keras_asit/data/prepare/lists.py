"""The lists of clips that data sets publish: a text file, one clip a line."""

from keras_asit.data.prepare.prepare_error import PrepareError


def numbered_lines(path):
    """The lines of a text file that are not blank.

    Args:
        path: A `Path`.

    Returns:
        List of `(number, text)`, counted from 1.

    Raises:
        ManifestError: if it is no text.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PrepareError(path, [f"not a readable text file: {error}"]) from error
    return [(i, line.strip()) for i, line in enumerate(lines, 1) if line.strip()]
