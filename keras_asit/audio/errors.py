"""What is raised for a file that is not usable audio."""


class AudioError(ValueError):
    """A file that is not usable audio: which file, why, and what to do.

    Args:
        path: The file's path.
        reason: What is wrong with it and how to mend it, without the path.
    """

    def __init__(self, path, reason):
        super().__init__(path, reason)  # both are args, so that it pickles
        self.path = path
        self.reason = reason

    def __str__(self):
        return f"{self.path}: {self.reason}"


def truncated(path, what):
    """The error of a file that was cut short: it holds only `what`."""
    return AudioError(
        path, f"is truncated: it holds {what}. Fetch it again or leave it out."
    )
