"""Texts of a manifest: which can be kept, and how an error shows them."""

_SHOWN_CHARACTERS = 200


def is_text(text):
    """Whether UTF-8 can hold a text, and file names too: without NUL.

    What `os` and `errors="surrogateescape"` make of other bytes is none.
    """
    try:
        text.isascii() or text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def printable(text):
    """A text as an error may show it: short, nothing that moves the cursor."""
    text = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
    return text if text.isprintable() else repr(text)
