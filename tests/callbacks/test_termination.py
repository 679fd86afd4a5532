import signal
import threading

import pytest

from keras_asit.callbacks.termination import Termination

pytestmark = pytest.mark.backend_free


@pytest.fixture
def received():
    """What the program's own handler gets; `Termination` listens after it."""
    signals = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: signals.append(number))
    yield signals
    signal.signal(signal.SIGTERM, before)


def test_the_first_is_noted_and_the_second_ends(received):
    own = signal.getsignal(signal.SIGTERM)
    termination = Termination()
    termination.listen()
    termination.listen()  # once is enough
    assert not termination.is_asked
    signal.raise_signal(signal.SIGTERM)
    assert termination.is_asked and not received
    signal.raise_signal(signal.SIGTERM)
    assert received == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) == own
    termination.forget()
    assert signal.getsignal(signal.SIGTERM) == own


def test_a_new_run_was_not_asked(received):
    termination = Termination()
    for _ in range(2):
        termination.listen()
        assert not termination.is_asked
        signal.raise_signal(signal.SIGTERM)
        assert termination.is_asked
        termination.answer()
        termination.forget()
    assert not received


def test_what_nobody_acts_on_is_not_lost(received):
    termination = Termination()
    for number in (1, 2):  # an answer to the first is none to the second
        termination.listen()
        signal.raise_signal(signal.SIGTERM)
        assert len(received) == number - 1
        termination.forget()
        assert received == [signal.SIGTERM] * number
        termination.answer()


def test_two_give_it_back_in_any_order(received):
    own = signal.getsignal(signal.SIGTERM)
    first, second = Termination(), Termination()
    for both in ((second, first), (first, second, first)):
        first.listen()
        second.listen()
        for termination in both:
            termination.forget()
        assert signal.getsignal(signal.SIGTERM) == own


def test_threads_leave_it_alone(received):
    own = signal.getsignal(signal.SIGTERM)
    termination = Termination()
    thread = threading.Thread(target=termination.listen)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGTERM) == own
    termination.forget()
