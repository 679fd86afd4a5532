"""What a manifest that cannot be used raises."""

_SHOWN_PROBLEMS = 20
_SHOWN_CHARACTERS = 1000  # of a problem: a cell may be as long as a file


class ManifestError(ValueError):
    """All that is wrong with a manifest, at once.

    Args:
        source: The file or folder that was read.
        problems: List of strings, one problem each, cut at 1,000 characters. All
            are kept as `problems`; the message shows the first 20.

    Attributes:
        title: What the message begins with.
        shown: The problems in the message, and how many more there are.
    """

    def __init__(self, source, problems):
        self.source, self.problems = str(source), [_cut(text) for text in problems]
        super().__init__(self.source, self.problems)  # as args, so that it pickles

    @property
    def title(self):
        return f"Cannot use the manifest {self.source}:"

    @property
    def shown(self):
        first = self.problems[:_SHOWN_PROBLEMS]
        more = len(self.problems) - len(first)
        return [*first, f"and {more} more problems"] if more else first

    def __str__(self):
        return "\n  ".join([self.title, *self.shown])


def _cut(text):
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
