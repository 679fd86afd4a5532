"""Where a run is, by hand; no model is trained."""

import pytest

from keras_asit.callbacks.progress import Progress

pytestmark = pytest.mark.backend_free


def epochs_of(progress, steps_per_epoch, *lengths, first=0, at_once=1):
    """Goes through epochs of these lengths; the last of them does not end."""
    progress.begin(steps_per_epoch)
    for epoch, length in enumerate(lengths, first):
        progress.begin_epoch(epoch)
        for batch in range(at_once - 1, length + at_once - 1, at_once):
            progress.end_batch(batch)
        if epoch < first + len(lengths) - 1:
            progress.end_epoch(was_stopped=False)
    place = progress.place()
    return progress.steps, place["epoch"], place["batches"]


def test_epochs_and_batches_are_counted():
    assert epochs_of(Progress(), 5, 5, 5, 2) == (12, 2, 2)
    assert epochs_of(Progress(), 5, 5) == (5, 1, 0)  # all is done but its end
    assert epochs_of(Progress(), 5, 3, first=7) == (3, 7, 3)  # fit(initial_epoch=7)


def test_a_resumed_run_goes_on_within_an_epoch():
    """Epoch 2 was left after 3 of 5: epochs of `fit` now end where it is 3 of 5."""
    assert epochs_of(Progress(13, 3), 5, 1, first=2) == (14, 2, 4)
    assert epochs_of(Progress(13, 3), 5, 2, first=2) == (15, 3, 0)
    assert epochs_of(Progress(13, 3), 5, 5, 4, first=2) == (22, 4, 2)


@pytest.mark.parametrize("lengths", [(7, 4, 6, 2), (6, 6, 2)])
def test_epochs_of_unknown_length_are_those_of_fit(lengths):
    epoch = len(lengths) - 1
    assert epochs_of(Progress(), None, *lengths) == (sum(lengths), epoch, 2)


def test_epochs_that_differ_are_those_of_fit():
    progress = Progress()
    assert epochs_of(progress, 5, 5, 3, 4) == (12, 2, 4)
    assert progress.place()["steps_per_epoch"] is None
    progress = Progress()
    assert epochs_of(progress, 5, 5, 8, 2) == (15, 2, 2)
    assert progress.place()["steps_per_epoch"] is None


def test_several_steps_at_once_end_with_the_epoch():
    assert epochs_of(Progress(), 5, 5, 2, at_once=2) == (7, 1, 2)
    assert epochs_of(Progress(), 5, 5, at_once=2) == (5, 1, 0)


def test_where_training_was_stopped_it_goes_on():
    progress = Progress()
    epochs_of(progress, 5, 5, 2)
    progress.end_epoch(was_stopped=True)
    assert (progress.place()["epoch"], progress.place()["batches"]) == (1, 2)
