"""Shards that a TensorFlow graph reads, and a tf.data service."""

import gc

import keras
import numpy as np
import pytest

from keras_asit.audio import LogMelFilterbank
from keras_asit.data import pretraining_dataset
from keras_asit.data.shards import Shards, streaming
from keras_asit.data.shards.layout import shard_name

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="other backends have no tf.data"
)
OPTIONS = {"batch_size": 4, "sample_rate": 8000, "crop_seconds": 0.25, "seed": 3}
WAVES = {**OPTIONS, "features": "waveform"}


def views_of_a_pass(dataset):
    return np.concatenate([batch.numpy() for batch in dataset])


def same_set(one, other):
    """Whether the same views came, in whatever order."""
    one, other = (sorted(view.tobytes() for view in views) for views in (one, other))
    return one == other


def nodes(dataset):
    """The operations of the graph, those inside its functions too."""
    import tensorflow as tf

    graph = tf.compat.v1.GraphDef.FromString(dataset._as_serialized_graph().numpy())
    functions = [node for f in graph.library.function for node in f.node_def]
    return {node.op for node in [*graph.node, *functions]}


def test_views_are_those_of_the_files(write_shards):
    paths, folder = write_shards(12, seconds=0.2)  # some shorter than a view
    of_files, streamed = (
        pretraining_dataset(source, **WAVES) for source in (paths, folder)
    )
    assert len(streamed) == 3
    orders = []
    for _ in range(3):
        views = views_of_a_pass(streamed)
        assert same_set(views, views_of_a_pass(of_files))
        orders.append(views[:, 0, 0].tolist())
    assert not np.array_equal(*orders[:2])
    again = pretraining_dataset(folder, **WAVES)
    for order in orders:
        assert views_of_a_pass(again)[:, 0, 0].tolist() == order


def test_features_are_those_of_the_waveforms(write_shards):
    _, folder = write_shards(4)
    frontend = LogMelFilterbank(8000, num_mel_bins=20, num_frames=24)
    features = next(iter(pretraining_dataset(folder, frontend=frontend, **OPTIONS)))
    waves = next(iter(pretraining_dataset(folder, **WAVES)))
    assert features.shape == (4, 2, 24, 20)
    expected = frontend(waves.numpy().reshape(8, -1))
    np.testing.assert_allclose(
        features, np.reshape(expected, features.shape), atol=2e-3
    )


def test_a_restored_position_gives_the_batches_to_come(write_shards):
    _, folder = write_shards(13)
    dataset = pretraining_dataset(folder, **WAVES)
    stream = np.stack([batch for _ in range(4) for batch in dataset])
    restored = pretraining_dataset(folder, **WAVES)
    restored.restore(dataset.state(5))
    for first in (5, 8):
        found = np.stack(list(restored))
        np.testing.assert_array_equal(found, stream[first : first + 3])


def damage(folder, shard, clip):
    """Flip a bit of a clip of a shard; the names of those from it on."""
    shards = Shards(folder)
    behind = shards.clips_of(shard)[clip:]
    with open(shards.files[shard], "r+b") as file:
        file.seek(int(shards.table.offset[behind[0]]) + 100)
        byte = file.read(1)[0]
        file.seek(-1, 1)
        file.write(bytes([byte ^ 16]))
    return [str(shards.manifest.paths[index]) for index in behind]


def test_clips_behind_damage_are_replaced_and_reported(write_shards):
    _, folder = write_shards(12)
    whole = {view.tobytes() for view in views_of_a_pass(of_shards(folder))}
    behind = damage(folder, shard=1, clip=2)
    assert len(behind) == 2
    dataset = of_shards(folder, max_failure_share=0.2)
    for _ in range(2):
        with pytest.warns(UserWarning, match=r"2 of 12 clips[\s\S]*behind damage in"):
            views = views_of_a_pass(dataset)
        assert len(views) == 12
        assert sorted(dataset.examples.reader.failures) == sorted(behind)
    views = {view.tobytes() for view in views_of_a_pass(of_shards(folder, 0.2))}
    assert len(views) == 10 and views < whole
    with pytest.raises(Exception, match="2 of 12 clips could not be read"):
        views_of_a_pass(of_shards(folder))


def test_a_shard_that_vanishes_is_as_one_damaged_at_its_beginning(write_shards):
    _, folder = write_shards(12)
    dataset = of_shards(folder, max_failure_share=0.5)
    (folder / shard_name(0, 3)).unlink()
    with pytest.warns(UserWarning, match="4 of 12 clips"):
        assert len(views_of_a_pass(dataset)) == 12


def of_shards(folder, max_failure_share=0.05):
    return pretraining_dataset(folder, max_failure_share=max_failure_share, **WAVES)


def test_python_is_asked_once_a_pass(write_shards, monkeypatch):
    from keras_asit.data.examples import ClipExamples

    def asked(*args):
        raise AssertionError("Python was asked for a clip")

    monkeypatch.setattr(ClipExamples, "example", asked)
    paths, folder = write_shards(8)
    assert len(list(pretraining_dataset(folder, **OPTIONS))) == 2
    with pytest.raises(Exception, match="asked for a clip"):
        list(pretraining_dataset(paths, **OPTIONS))


@pytest.fixture
def service():
    """A dispatcher and two workers on loopback."""
    import tensorflow as tf

    servers = tf.data.experimental.service
    dispatcher = servers.DispatchServer()
    address = dispatcher.target.split("://")[1]
    config = servers.WorkerConfig(dispatcher_address=address)
    workers = [servers.WorkerServer(config) for _ in range(2)]
    yield dispatcher.target, workers
    # An iterator that outlives its dispatcher asks for it for half a minute.
    gc.collect()


def test_a_service_delivers_each_clip_once_an_epoch(write_shards, service):
    address, workers = service
    paths, folder = write_shards(13, shards=5)
    whole = {**WAVES, "crop_seconds": 1.0, "shift_probability": 0.0, "views": 1}
    whole["batch_size"] = 13
    expected = views_of_a_pass(pretraining_dataset(paths, **whole))
    dataset = pretraining_dataset(folder, service=address, **whole)
    for _ in range(3):
        assert same_set(views_of_a_pass(dataset), expected)
    assert all(worker._num_tasks() > 0 for worker in workers)
    assert not {"PyFunc", "EagerPyFunc"} & nodes(dataset)


def test_epochs_of_a_service_differ(write_shards, service):
    """Whatever TensorFlow's global seed, which restarts with every iteration."""
    import tensorflow as tf

    address, _ = service
    _, folder = write_shards(24)
    try:
        keras.utils.set_random_seed(0)
        dataset = pretraining_dataset(folder, service=address, **WAVES)
        epochs = [views_of_a_pass(dataset) for _ in range(3)]
    finally:
        tf.random.set_seed(None)
    views = [view.tobytes() for epoch in epochs for view in epoch]
    assert len(set(views)) == len(views) == 72


def test_a_worker_takes_no_more_shards_than_it_reads(write_shards, service):
    """Else the first one that asks would read them all."""
    address, _ = service
    _, folder = write_shards(8)
    graph = nodes(pretraining_dataset(folder, service=address, **WAVES))
    assert not {"ShuffleDatasetV3", "ShuffleDatasetV2"} & graph


def test_long_clips_fill_no_memory(write_shards, monkeypatch):
    _, folder = write_shards(12)
    shards = Shards(folder)
    assert streaming._held_clips(shards) == 512
    of_a_clip = shards.index.bytes // 12
    monkeypatch.setattr(streaming, "SHUFFLE_BYTES", 3 * of_a_clip + 99)
    assert streaming._held_clips(shards) == 3
    monkeypatch.setattr(streaming, "SHUFFLE_BYTES", 99)
    assert streaming._held_clips(shards) == 1
    assert len(views_of_a_pass(of_shards(folder))) == 12


def test_a_service_keeps_the_last_smaller_batch(write_shards, service):
    address, _ = service
    _, folder = write_shards(7)
    options = {**WAVES, "drop_remainder": False}
    dataset = pretraining_dataset(folder, service=address, **options)
    assert [len(batch) for batch in dataset] == [4, 3]


def test_a_service_reads_shards_alone(write_clips):
    with pytest.raises(ValueError, match="Expected shards at sample_rate"):
        pretraining_dataset(write_clips(4), service="grpc://localhost:1", **WAVES)
