"""What the frameworks of a case are asked, in turns, and what they said."""

import math
import sys

from benchmarks.worker import Worker, WorkerFailed

PREPARATIONS = 10  # calls between two looks at the clock: one is over soon


class Readings:
    """What the workers of a case said, or why they failed; by framework."""

    def __init__(self):
        self.first, self.answers, self.rates, self.prepared = {}, {}, {}, {}
        self.failed = {}

    def drop(self, framework, error):
        for kept in (self.first, self.answers, self.rates, self.prepared):
            kept.pop(framework, None)
        self.failed[framework] = str(error)


def start(frameworks, device, options, readings):
    """Workers that took their first step, by framework.

    One at a time: the first steps must not share the processors either.

    Args:
        frameworks: Their names.
        device: `cpu` or `gpu`.
        options: Further words of their command lines.
        readings: The `Readings` that their first answers go to.
    """
    workers = {}
    for framework in frameworks:
        worker = Worker(framework, device, *options)
        try:
            readings.first[framework] = worker.answer()
            workers[framework] = worker
        except WorkerFailed as error:
            readings.drop(framework, error)
            worker.stop()
        except BaseException:
            stop(workers)
            worker.stop()
            raise
    for kept in (readings.answers, readings.rates, readings.prepared):
        kept.update({framework: [] for framework in workers})
    return workers


def stop(workers):
    for worker in workers.values():
        worker.stop()


def take_turns(workers, rounds, steps, matrix, readings):
    """Rounds of matrix rates, steps and preparations, added to the readings.

    The order of the steps is turned around every second round.
    """

    def ask_all(order, kept, *request):
        for framework in [name for name in order if name not in readings.failed]:
            try:
                answer = workers[framework].ask(*request)
                kept[framework].append(answer)
            except WorkerFailed as error:
                readings.drop(framework, error)

    def ask_rates():
        """A rate that there is no memory left for is NaN: the steps stand."""
        for framework in [name for name in workers if name not in readings.failed]:
            try:
                answer = workers[framework].ask("matmul", *matrix)
            except WorkerFailed as error:
                print(f"{framework}, matmul: {error}", file=sys.stderr, flush=True)
                answer = {"gflops": math.nan}
            readings.rates[framework].append(answer)

    for number in range(rounds):
        ask_rates()
        order = list(workers)[:: -1 if number % 2 else 1]
        ask_all(order, readings.answers, "steps", steps)
        for framework in order:
            if framework in readings.prepared and not framework.startswith("torch"):
                ask_preparation(workers[framework], readings.prepared)
        print(f"round {number + 1} of {rounds} done", file=sys.stderr, flush=True)


def ask_preparation(worker, prepared):
    """Adds a reading; takes the framework out where it has none, as its steps stand."""
    try:
        answer = worker.ask("prepare", PREPARATIONS)
        prepared[worker.framework].append(answer["seconds"] / PREPARATIONS)
    except WorkerFailed as error:
        print(f"{worker.framework}, prepare: {error}", file=sys.stderr, flush=True)
        del prepared[worker.framework]
