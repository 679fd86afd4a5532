"""Work in threads."""

import threading
import time

import pytest

from keras_asit.audit.threads import in_order

pytestmark = pytest.mark.backend_free


def test_results_come_in_order():
    def slow(number):
        time.sleep(0.002 * (number % 3))
        return number**2

    squares = list(in_order(slow, range(100), workers=4, together=3))
    assert squares == [i**2 for i in range(100)]


def test_items_are_read_as_they_are_needed():
    read = []

    def items():
        for i in range(1000):
            read.append(i)
            yield i

    results = in_order(lambda i: i, items(), workers=2, together=2)
    assert next(results) == 0
    assert len(read) <= 2 * (4 * 2 + 1)
    results.close()


@pytest.mark.parametrize("how", ["close", "interrupt"])
def test_threads_stop_with_the_reader(how):
    """At the item that they are at, though a task has more of them."""
    slow, before = [], threading.active_count()

    def work(item):
        if item >= 300:
            time.sleep(0.005)
            slow.append(item)

    results = in_order(work, range(10_000), workers=2, together=300)
    next(results)
    if how == "close":
        results.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            results.throw(KeyboardInterrupt)
    assert threading.active_count() == before
    number = len(slow)
    time.sleep(0.02)
    assert len(slow) == number < 250


def test_nothing_to_do():
    assert list(in_order(str, [])) == []
