import keras
import numpy as np
import pytest
import soundfile

from keras_asit.data import labelled_dataset, read_manifest
from keras_asit.data.clips import TooManyBrokenFiles

SHORT = {"sample_rate": 8000, "seconds": 0.25}


def batches(dataset):
    return [tuple(map(keras.ops.convert_to_numpy, batch)) for batch in dataset]


def test_evaluation_keeps_order_middle_and_last_batch(write_manifest):
    manifest = read_manifest(write_manifest(5))
    dataset = labelled_dataset(manifest, 2, features="waveform", **SHORT)
    assert len(dataset) == 3
    for _ in range(2):
        waves, targets = zip(*batches(dataset))
        assert [len(wave) for wave in waves] == [2, 2, 1]
        assert np.concatenate(targets).tolist() == [0, 1, 0, 1, 0]
        assert targets[0].dtype == "int32"
        for path, wave in zip(manifest.paths, np.concatenate(waves)):
            whole = soundfile.read(path, dtype="float32")[0]
            start = (len(whole) - 2000) // 2
            np.testing.assert_array_equal(wave, whole[start : start + 2000])


def test_short_clips_end_in_zeros(write_manifest):
    dataset = labelled_dataset(
        write_manifest(1), 1, features="waveform", sample_rate=8000, seconds=1.0
    )
    [(wave, _)] = batches(dataset)
    assert wave.shape == (1, 8000)
    assert wave[0, :4000].any()
    assert not wave[0, 4000:].any()


def test_training_shuffles_and_crops_from_the_seed(write_manifest):
    manifest = read_manifest(write_manifest(9, classes=9))
    one, other = (
        labelled_dataset(manifest, 4, features="waveform", training=True, **SHORT)
        for _ in range(2)
    )
    assert len(one) == 2
    orders = []
    for epoch in range(3):
        waves, targets = map(np.concatenate, zip(*batches(one)))
        same_waves, same_targets = map(np.concatenate, zip(*batches(other)))
        np.testing.assert_array_equal(waves, same_waves)
        np.testing.assert_array_equal(targets, same_targets)
        order = np.random.default_rng((0, epoch)).permutation(9)[:8]
        assert targets.tolist() == order.tolist()
        orders.append(tuple(order))
    assert len(set(orders)) == 3


def test_multi_hot_targets(write_manifest):
    labels = ["dog;rain", "", "rain"]
    dataset = labelled_dataset(write_manifest(3, labels=labels), 3, **SHORT)
    [(features, targets)] = batches(dataset)
    assert features.shape == (3, 16, 128)
    assert targets.dtype == "float32"
    assert targets.tolist() == [[1, 1], [0, 0], [0, 1]]


def test_class_names_give_the_order(write_manifest):
    dataset = labelled_dataset(
        write_manifest(2), 2, class_names=["other", "class_01", "class_00"], **SHORT
    )
    assert batches(dataset)[0][1].tolist() == [2, 1]


def test_broken_clips_are_left_out_of_evaluation(write_manifest):
    path = write_manifest(20, classes=20, broken=[3])
    with pytest.warns(UserWarning, match="1 of 20 clips could not be read"):
        dataset = labelled_dataset(path, 5, features="waveform", **SHORT)
        targets = np.concatenate([y for _, y in batches(dataset)])
    assert len(dataset) == 4
    assert targets.tolist() == [i for i in range(20) if i != 3]


def test_a_replacement_brings_its_own_target(write_manifest):
    path = write_manifest(20, classes=20, broken=[3])
    with pytest.warns(UserWarning, match="1 of 20"):
        dataset = labelled_dataset(path, 5, training=True, **SHORT)
        targets = np.concatenate([y for _, y in batches(dataset)])
    assert sorted(targets.tolist()) == sorted([4, *(i for i in range(20) if i != 3)])


def test_too_many_broken_clips(write_manifest):
    path = write_manifest(10, broken=[3])
    with pytest.raises(TooManyBrokenFiles, match=r"10.0%, more than the 5.0%"):
        labelled_dataset(path, 5, **SHORT)
    with pytest.warns(UserWarning, match="1 of 10"):
        labelled_dataset(path, 5, max_failure_share=0.2, **SHORT)


def test_clips_without_labels_are_refused(write_clips):
    with pytest.raises(ValueError, match="expected one label, received"):
        labelled_dataset(write_clips(2), 2, **SHORT)


def test_wrong_arguments(write_manifest):
    path = write_manifest(2)
    with pytest.raises(ValueError, match="seconds > 0"):
        labelled_dataset(path, 2, seconds=0)
    for training in (True, False):
        with pytest.raises(ValueError, match="integer of 0 or more"):
            labelled_dataset(path, 2, seed=-1, training=training)
    with pytest.raises(ValueError, match=r"at least one clip\. Received: none"):
        labelled_dataset(read_manifest(path).take([]), 1)
    with pytest.raises(ValueError, match="batch_size from 1 to the 2 clips"):
        labelled_dataset(path, 4, training=True)


def test_real_recordings(data_root):
    manifest = read_manifest(data_root / "fsdd" / "manifest.csv").where(split="test")
    part = manifest.take(range(0, len(manifest), len(manifest) // 6))
    [(features, targets)] = batches(
        labelled_dataset(part, len(part), sample_rate=8000, seconds=0.5)
    )
    assert features.shape == (len(part), 48, 128)
    assert np.isfinite(features).all()
    np.testing.assert_array_equal(targets, part.targets())
