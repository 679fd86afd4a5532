import json

import numpy as np
import pytest

from keras_asit.data.clips import ClipReader
from keras_asit.data.examples import ClipExamples
from keras_asit.data.passes import Passes
from keras_asit.data.sampling import InOrder, Shuffled


def passes(paths, batch_size=2, steps=3, seed=0, sampler=Shuffled):
    examples = ClipExamples(
        ClipReader(paths, 8000), seed, [], [], sampler(range(len(paths)))
    )
    return Passes(examples, batch_size, steps)


def rows(data, batches):
    """(number, key) of batches counted over all epochs."""
    return np.concatenate([data.rows(batch) for batch in batches]).tolist()


def taken(data):
    """The first batch of a pass that is taken to its end."""
    number, first = data.begin()
    data.end(number)
    return first


def test_a_pass_that_is_not_taken_to_its_end_begins_anew(write_clips):
    data = passes(write_clips(7))
    earlier, first = data.begin()
    later, again = data.begin()
    assert first == again == 0
    data.end(earlier)  # another has begun since: it ends nothing
    assert data.next == 0
    data.end(later)
    data.end(later)
    assert data.begin()[1] == 3


def test_a_pass_that_began_before_a_position_was_restored_moves_nothing(write_clips):
    data = passes(write_clips(7))
    number, _ = data.begin()
    data.restore(data.state(5))
    data.end(number)
    assert data.begin()[1] == 5


def test_a_pass_has_the_batches_of_an_epoch(write_clips):
    data = passes(write_clips(7))
    first, second = (data.rows_from(taken(data)) for _ in range(2))
    assert not set(first[:, 1]) & set(second[:, 1])
    assert len(set(first[:, 0])) == len(first) == 6  # one of 7 fills no batch
    assert first.tolist() == rows(data, range(3))


def test_a_restored_position_goes_on_into_the_next_epoch(write_clips):
    paths = write_clips(7)
    data = passes(paths)
    state = json.loads(json.dumps(passes(paths).state(4)))
    data.restore(state)
    for first in (4, 7):
        assert taken(data) == first
        expected = rows(passes(paths), range(first, first + 3))
        assert data.rows_from(first).tolist() == expected
    assert data.spans_from(4).tolist() == [[1, 2, 4], [2, 0, 2]]
    assert data.spans_from(6).tolist() == [[2, 0, 6]]


@pytest.mark.parametrize(
    "options", [{"seed": 1}, {"batch_size": 3}, {"steps": 2}, {"clips": 6}]
)
def test_the_position_in_another_dataset_is_refused(write_clips, options):
    clips = options.pop("clips", 7)
    state = passes(write_clips(clips), **options).state(4)
    with pytest.raises(ValueError, match="Expected a position in this dataset"):
        passes(write_clips(7)).restore(state)


@pytest.mark.parametrize("state", [{}, {"batches": 3}, {"batches": -1}])
def test_what_is_no_position_is_refused(write_clips, state):
    data = passes(write_clips(7))
    if "batches" in state and state["batches"] < 0:
        state = {**data.state(0), **state}
    with pytest.raises(ValueError, match="Expected a position"):
        data.restore(state)


def test_smaller_last_batches_have_positions_at_the_ends_of_epochs(write_clips):
    data = passes(write_clips(7), steps=4, sampler=InOrder)
    data.restore(data.state(8))
    assert data.begin()[1] == 8
    assert len(data.rows(11)) == 1
    with pytest.raises(ValueError, match="Expected a multiple of 4 batches"):
        data.restore(data.state(9))


def test_the_orders_of_two_epochs_are_kept(write_clips):
    drawn = []

    class Counted(Shuffled):
        def __call__(self, seed, epoch):
            drawn.append(epoch)
            return super().__call__(seed, epoch)

    data = passes(write_clips(7), sampler=Counted)
    for batch in [*range(9), 8, 5]:
        data.rows(batch)
    assert drawn == [0, 1, 2]
    np.testing.assert_array_equal(data.rows(4), data.rows_from(3)[2:4])
