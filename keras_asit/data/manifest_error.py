"""What a manifest that cannot be used raises."""

_SHOWN_PROBLEMS = 20


class ManifestError(ValueError):
    """All that is wrong with a manifest, at once.

    Args:
        source: The file or folder that was read.
        problems: List of strings, one problem each, kept in full as
            `problems`; the message shows the first 20.
    """

    def __init__(self, source, problems):
        self.source, self.problems = str(source), list(problems)
        super().__init__(self.source, self.problems)  # as args, so that it pickles

    def __str__(self):
        lines = self.problems[:_SHOWN_PROBLEMS]
        if len(self.problems) > len(lines):
            lines.append(f"and {len(self.problems) - len(lines)} more problems")
        return "\n  ".join([f"Cannot use the manifest {self.source}:", *lines])
