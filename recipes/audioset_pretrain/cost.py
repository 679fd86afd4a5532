"""What a long run costs, told while it runs."""

import statistics
import time

import keras

FIRST, LAST = 3, 23  # steps that are measured: the first ones compile


class Cost(keras.callbacks.Callback):
    """Prints once how long the run will take, from the duration of its own steps.

    The median of twenty steps, or of as many as there are, times the steps to come;
    checkpoints and waiting for a slow disk later on are not in it.

    Args:
        batch_size: Clips of a step.
        steps: Steps of the whole run.
    """

    def __init__(self, batch_size, steps):
        super().__init__()
        self.batch_size, self.steps = batch_size, steps
        self.durations, self._done, self._last = [], 0, None

    @property
    def step_seconds(self):
        """Median duration of a step; None before three were made."""
        return statistics.median(self.durations) if self.durations else None

    def on_train_batch_end(self, batch, logs=None):
        self._done += 1
        if self._done > LAST:
            return
        float(logs["loss"])  # waits for the step: on JAX `fit` runs ahead of it
        now = time.monotonic()
        if self._done >= FIRST:
            self.durations.append(now - self._last)
        self._last = now
        if self._done == LAST:
            print(f"\n{self}", flush=True)

    def __str__(self):
        if self.step_seconds is None:
            return "cost: fewer than three steps were made"
        clips = self.batch_size / self.step_seconds
        hours = self.steps * self.step_seconds / 3600
        return (
            f"cost: {self.step_seconds:.3f} s a step, {clips:.1f} clips/s (median of "
            f"{len(self.durations)} steps), so {hours:.1f} h for all {self.steps} steps"
        )
