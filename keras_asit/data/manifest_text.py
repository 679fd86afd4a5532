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


def cell_fault(text):
    """Why a text can be no cell of a manifest; `""` if it can be one.

    A line break is no part of a name or a number: where one stands a quote was rather
    not closed, and there are programs that read lines only.
    """
    if "\n" in text or "\r" in text:
        return "a line break"
    return "" if is_text(text) else "a NUL byte or text that is not UTF-8"


def name_fault(name):
    """Why a text can be no name of a column or a class; `""` if it can be one."""
    if not name:
        return "no letter"
    return cell_fault(name) or ("outer spaces" if name != name.strip() else "")


def printable(text):
    """A text as an error may show it: short, nothing that moves the cursor.

    Where spaces are around it, there are quotes, too.
    """
    text = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
    return text if text.isprintable() and text == text.strip() else repr(text)
