"""Where a run is, in the steps and epochs that its user counts.

A run that was resumed within an epoch begins epochs of its own there: each is the rest
of one epoch and the beginning of the next.
"""


class Progress:
    """Counts steps, epochs and batches of a run that may have begun before.

    Where `fit` does not know how many steps an epoch has, or epochs turn out to have
    different numbers, epochs are those of `fit`.

    Args:
        steps: Steps that were done before.
        batches: How many of them belong to the epoch that was under way, where this
            run goes on within it.
        repeated: How many were of epochs that this run, or one before it, began anew.
    """

    def __init__(self, steps=0, batches=0, repeated=0):
        self.steps, self._before, self._repeated = steps, batches, repeated
        self.steps_per_epoch = None
        self._epoch, self._taken = 0, 0

    def begin(self, steps_per_epoch):
        """A `fit` begins whose epochs have so many steps, None where it cannot know."""
        self.steps_per_epoch = steps_per_epoch

    def begin_epoch(self, epoch):
        self._epoch, self._taken = epoch, 0

    def end_batch(self, batch):
        """The batch of that number in the epoch is done, and all before it."""
        taken, per_epoch = batch + 1, self.steps_per_epoch
        if per_epoch and self._taken < per_epoch < taken:
            taken = per_epoch  # `steps_per_execution` counts beyond the last one
        self.steps += taken - self._taken
        self._taken = taken

    def end_epoch(self, was_stopped):
        """An epoch of `fit` ended, at its end or where `fit` was told to stop."""
        if was_stopped:
            return
        if self._taken != self.steps_per_epoch:  # not all are alike, or it is unknown
            self.steps_per_epoch, self._before = None, 0
        self._epoch, self._taken = self._epoch + 1, 0

    def place(self):
        """What a run must know to go on here, as a dict for JSON."""
        epoch, batches = self._epoch, self._before + self._taken
        if self.steps_per_epoch and batches >= self.steps_per_epoch:
            epoch, batches = epoch + 1, batches - self.steps_per_epoch
        return {
            "epoch": epoch,
            "batches": batches,
            "steps_per_epoch": self.steps_per_epoch,
            "repeated": self._repeated,
        }
