"""Looking on must not end what is looked at."""

import contextlib
import warnings


class Tolerance:
    """Turns errors into warnings: a run of weeks does not end for want of a picture.

    Args:
        owner: Name for the warnings.
    """

    def __init__(self, owner):
        self.owner = owner
        self._told = set()

    @contextlib.contextmanager
    def going_on(self, what):
        """Errors within are warned of, the first time that `what` fails.

        Args:
            what: What is not there in case of one, "scalars" for example.
        """
        try:
            yield
        except Exception as error:
            if what in self._told:
                return
            self._told.add(what)
            warnings.warn(
                f"{self.owner}: no {what}: {type(error).__name__}: {error}. Training "
                f"goes on, and {self.owner} tries again; further failures of this kind "
                "are not told",
                stacklevel=1,
            )
