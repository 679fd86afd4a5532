"""Which batches a pass over a dataset gives, and from where a restored one goes on."""

import threading

import numpy as np


class Passes:
    """The batches of all epochs, one behind the other, and where the next pass begins.

    A pass has as many batches as an epoch. Passes begin where epochs do, until a
    position within an epoch is restored: a pass then goes on into the next epoch.
    So a run that was interrupted sees the very batches that it would have seen.
    The next pass begins behind one that was taken to its end, and anew where one was
    not: Keras, too, looks at a batch before it trains.

    Args:
        examples: A `ClipExamples`.
        batch_size: Clips in a batch.
        steps: Batches of an epoch.
    """

    def __init__(self, examples, batch_size, steps):
        self.examples = examples
        self.batch_size, self.steps = batch_size, steps
        self.next = 0  # batches before the next pass
        self.is_repeatable = True  # else there is no position
        self.order = type(examples.sampler).__name__
        self._begun = 0  # passes; the last of them may move `next`
        self._lock = threading.Lock()
        self._kept = {}

    @property
    def all_are_full(self):
        """Whether no batch is smaller than the others."""
        return self.steps * self.batch_size <= len(self.examples.sampler)

    def begin(self):
        """Number of a new pass, and of its first batch, counted over all epochs."""
        with self._lock:
            self._begun += 1
            return self._begun, self.next

    def end(self, number):
        """The last batch of a pass was taken; nothing where a later one has begun.

        Raises:
            TooManyBrokenFiles: where more clips failed in it than may.
        """
        with self._lock:
            if number == self._begun:
                self._begun += 1
                self.next += self.steps
        self.examples.reader.end_of_epoch()

    def rows(self, batch):
        """(number, key) `[N, 2]` of the clips of a batch, see `ClipExamples.rows`.

        The last batch of an epoch has the rest.
        """
        epoch, step = divmod(batch, self.steps)
        rows = self._rows(epoch)[: self.steps * self.batch_size]
        return rows[step * self.batch_size : (step + 1) * self.batch_size]

    def clip_names(self, batch):
        """Names of the clips of a batch, or None where a graph chooses them."""
        if self.order != type(self.examples.sampler).__name__ or not self.is_repeatable:
            return None
        return [self.examples.reader.clips.name(index) for index, _ in self.rows(batch)]

    def spans_from(self, batch):
        """Epoch, first clip and number of clips, `[1 or 2, 3]`, of the pass from it."""
        epoch, step = divmod(batch, self.steps)
        clips, first = self.steps * self.batch_size, step * self.batch_size
        spans = [(epoch, first, clips - first), (epoch + 1, 0, first)]
        return np.array(spans if step else spans[:1], "int64")

    def rows_from(self, batch):
        """(number, key) `[N, 2]` of every clip of the pass that begins there."""
        spans = self.spans_from(batch)
        return np.concatenate(
            [self._rows(epoch)[first : first + count] for epoch, first, count in spans]
        )

    def first_examples(self, count):
        """Arrays of the first clips of the first epoch, at most a batch of them."""
        return [self.examples.example(*row) for row in self.rows(0)[:count]]

    def state(self, batches):
        """The position after so many batches, to be saved with a checkpoint.

        Args:
            batches: Batches that were trained on since the beginning, over all epochs:
                the optimiser's iterations. What was only read ahead does not count.

        Returns:
            A dict for JSON: the batches, and what they are batches of.
        """
        return {"batches": int(batches), **self._identity()}

    def restore(self, state):
        """Let the next pass begin at a position.

        Args:
            state: What `state` returned, of a dataset of the same clips and options.

        Raises:
            ValueError: where it is the position in another dataset.
        """
        mine = self._identity()
        other = [name for name in mine if state.get(name) != mine[name]]
        if other or state.get("batches", -1) < 0:
            received = {name: state.get(name) for name in other or ["batches"]}
            expected = {name: mine.get(name, "0 or more") for name in received}
            raise ValueError(
                f"Expected a position in this dataset, {expected}. Received: "
                f"{received}. Make the dataset of the same clips and options"
            )
        self._check_is_whole(state["batches"])
        with self._lock:
            self._begun += 1
            self.next = int(state["batches"])

    def _check_is_whole(self, batches):
        """A pass that goes on into the next epoch has no room for a smaller batch."""
        if not self.all_are_full and batches % self.steps:
            raise ValueError(
                f"Expected a multiple of {self.steps} batches, whole epochs: the last "
                f"batch of an epoch is smaller. Received: {batches}. Make the dataset "
                "with drop_remainder=True"
            )

    def _identity(self):
        """What must be the same for a position to mean the same batches."""
        if not self.is_repeatable:
            raise ValueError(
                "Expected a dataset with an order of its own. Received: one of a "
                "tf.data service, which has no position. Read the shards without it"
            )
        return {
            "seed": self.examples.seed,
            "batch_size": self.batch_size,
            "steps": self.steps,
            "clips": self.examples.reader.clips.identity,
            "order": self.order,
            "shapes": [list(shape) for shape in self.examples.shapes],
            **self.examples.options,
        }

    def _rows(self, epoch):
        """The rows of an epoch; those of the last two are kept."""
        rows = self._kept.get(epoch)
        if rows is None:
            rows = self.examples.rows(epoch)
            kept = {e: r for e, r in self._kept.items() if e in (epoch - 1, epoch + 1)}
            self._kept = {**kept, epoch: rows}
        return rows
