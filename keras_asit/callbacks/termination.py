"""SIGTERM, as clusters send it, kept until a step is done."""

import signal
import threading


class Termination:
    """Whether the program was asked to end by SIGTERM since `listen`.

    The first SIGTERM is only noted. Any second one goes to who had the signal before:
    it ends the program.
    """

    def __init__(self):
        self._asked = threading.Event()
        self._former, self._listens = None, False
        self._is_answered = False

    @property
    def is_asked(self):
        return self._asked.is_set()

    def listen(self):
        """Takes the signal over. In threads Python handles none: nothing happens."""
        if self._listens:
            return
        self._asked.clear()
        self._is_answered = False
        former = signal.getsignal(signal.SIGTERM)
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and former is not None:  # None: it is not Python's, nor given back
            self._former, self._listens = former, True
            signal.signal(signal.SIGTERM, self._note)

    def forget(self):
        """Leaves the signal to who had it before, once nobody has taken it since.

        One that was noted, and not answered, is theirs too.
        """
        if self._listens and signal.getsignal(signal.SIGTERM) == self._note:
            signal.signal(signal.SIGTERM, self._former)
            self._listens = False
            is_open = self._asked.is_set() and not self._is_answered
            self._asked.clear()
            if is_open:
                signal.raise_signal(signal.SIGTERM)

    def answer(self):
        """Says that the program ends as it was asked to."""
        self._is_answered = True

    def _note(self, number, frame):
        if self._asked.is_set():
            signal.signal(number, self._former)
            self._listens = False
            signal.raise_signal(number)
        self._asked.set()
