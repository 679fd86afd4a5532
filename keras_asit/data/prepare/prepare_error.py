"""What a data set that cannot be prepared raises."""

from keras_asit.data.manifest_error import ManifestError


class PrepareError(ManifestError):
    """All that is wrong with the folder of a data set, or with where to write, at once.

    Args:
        source: The file or folder.
        problems: List of strings, one problem each.
    """

    @property
    def title(self):
        return f"Cannot prepare {self.source}:"
