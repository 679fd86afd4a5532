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


def holds_nothing(path):
    """The error of a file without a sample."""
    return AudioError(
        path,
        "holds no audio (0 samples), or was cut short. Fetch it again or leave it out.",
    )


def too_long(path, samples, most):
    """The error of more samples than may become one waveform."""
    return AudioError(
        path,
        f"has {samples} samples or more by its header, expected at most {most} in one "
        "piece. Read parts of it, with `start` and `duration`, or leave it out if it "
        "cannot be that long.",
    )


def cannot_be_opened(path, error):
    """The error of a file that the system does not let us read."""
    why = getattr(error, "strerror", None) or error
    return AudioError(path, f"cannot be opened ({why}). Check the path and its rights.")
