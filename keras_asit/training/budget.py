"""Training for a number of minutes or of steps."""

import time

import keras
from tqdm import tqdm

from keras_asit.schedules import cosine

ENDLESS = 1_000_000  # Epochs for `fit`: the budget ends the run.


class Budget(keras.callbacks.Callback):
    """Lets the learning rate follow a budget of minutes or of steps.

    The learning rate is set before every epoch: a linear warm-up, then a cosine,
    of the share of the budget that is spent; `fit` ends when it is spent. Time
    counts from the end of the first step, which compiles. A run of a given
    number of steps can be repeated exactly, one of minutes follows the machine.

    Args:
        peak: Learning rate after the warm-up.
        minutes: Minutes of training, or None.
        steps: Steps of training, or None; the first budget spent ends the run.
        warmup: Share of the budget for the warm-up.
        final: Learning rate at the end.
        label: What the progress bar says.
        schedule: False where the optimiser has a schedule of its own.
        checkpoint: The `callbacks.Checkpoint` of a run that may be resumed, which knows
            how many steps were done before; None for a run that begins now.

    Raises:
        ValueError: If there is no budget, or one is not above 0.
    """

    def __init__(
        self,
        peak,
        minutes=None,
        steps=None,
        warmup=0.1,
        final=1e-6,
        label="training",
        schedule=True,
        checkpoint=None,
    ):
        super().__init__()
        given = [budget for budget in (minutes, steps) if budget is not None]
        if not given or not all(0 < budget < float("inf") for budget in given):
            raise ValueError(
                "Expected minutes above 0, steps above 0, or both; received "
                f"minutes={minutes!r}, steps={steps!r}."
            )
        if not 0 <= warmup < 1:
            raise ValueError(f"Expected warmup in [0, 1); received {warmup!r}.")
        self.peak, self.minutes, self.steps = peak, minutes, steps
        self.warmup, self.final, self.label = warmup, final, label
        self.schedule, self.checkpoint = schedule, checkpoint
        self.steps_done, self._start = 0, None

    @property
    def spent(self):
        """Share of the budget that is spent, in [0, 1]."""
        shares = [0.0]
        if self.minutes and self._start:
            shares.append((time.monotonic() - self._start) / (60 * self.minutes))
        if self.steps:
            shares.append(self.steps_done / self.steps)
        return min(1.0, max(shares))

    def rate(self, spent):
        """The learning rate at a share of the budget."""
        if spent < self.warmup:
            return self.peak * max(spent, 0.05 * self.warmup) / self.warmup
        after = (spent - self.warmup) / (1 - self.warmup)
        return float(cosine(after, self.peak, self.final, 1.0))

    def on_train_begin(self, logs=None):
        self.steps_done = self.checkpoint.steps if self.checkpoint else 0
        self._start = None
        self._bar = tqdm(total=100, desc=self.label, unit="%", bar_format=_BAR)

    def on_epoch_begin(self, epoch, logs=None):
        if self.schedule and not self.params["steps"]:
            self.model.optimizer.learning_rate = self.rate(self.spent)

    def on_train_batch_begin(self, batch, logs=None):
        # Keras's epochs begin where a run was resumed; these are those of all its runs.
        steps = self.params["steps"]
        if self.schedule and steps and self.steps_done % steps == 0:
            self.model.optimizer.learning_rate = self.rate(self.spent)

    def on_train_batch_end(self, batch, logs=None):
        self.steps_done += 1
        if self._start is None:
            self._start = time.monotonic()
        if self.spent >= 1:
            self.model.stop_training = True
        self._bar.update(round(100 * self.spent, 1) - self._bar.n)

    def on_epoch_end(self, epoch, logs=None):
        values = {name: f"{value:.3f}" for name, value in (logs or {}).items()}
        self._bar.set_postfix(values, refresh=False)

    def on_train_end(self, logs=None):
        self._bar.close()


_BAR = "{desc}: {percentage:3.0f} % |{bar}| {elapsed}, {remaining} left{postfix}"
