"""Work in threads, its results in order, without queueing a million of them."""

import collections
import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

from keras_asit.data.clips import available_cpus

_AHEAD = 4  # tasks a thread


def in_order(function, items, workers=None, together=16):
    """Yields `function(item)` for each item, in the order of the items.

    When the reader stops, or Ctrl-C comes, the threads stop after the item that
    they are at.

    Args:
        function: Is called in threads, and must not raise.
        items: Any iterable; read as it is needed.
        workers: Number of threads; None: one a processor.
        together: How many items are a task: a task costs 50 us.
    """
    workers = workers or available_cpus()
    stop = threading.Event()

    def work(task):
        return [function(item) for item in task if not stop.is_set()]

    items, waiting = iter(items), collections.deque()
    pool = ThreadPoolExecutor(workers)
    try:
        while task := list(itertools.islice(items, together)):
            waiting.append(pool.submit(work, task))
            if len(waiting) > _AHEAD * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
