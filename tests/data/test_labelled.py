import keras
import numpy as np
import pytest
import soundfile

from keras_asit.audio import LogMelFilterbank
from keras_asit.data import Manifest, draws, labelled_dataset, read_manifest
from keras_asit.data.clips import TooManyBrokenFiles
from keras_asit.data.spec_augment import SpecAugment
from keras_asit.models import ASiTClassifier
from tiny_asit import RATE, tiny_backbone

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


def test_mixup_mixes_waveforms_and_labels(write_manifest):
    """Clips are whole and distinct, so that both halves of a mixture can be found."""
    manifest = read_manifest(write_manifest(12, classes=12))
    options = {"features": "waveform", "sample_rate": 8000, "seconds": 0.7}
    plain = np.concatenate(
        [x for x, _ in batches(labelled_dataset(manifest, 12, **options))]
    )
    centred = plain - plain.mean(axis=1, keepdims=True)
    dataset = labelled_dataset(manifest, 12, training=True, mixup=0.5, **options)
    mixed = 0
    for _ in range(4):
        [(waves, targets)] = batches(dataset)
        assert targets.shape == (12, 12) and targets.dtype == "float32"
        np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
        for wave, target in zip(waves, targets):
            if target.max() == 1:
                clip = plain[target.argmax()]
                is_itself = np.abs(wave - wave.mean() - clip + clip.mean()).max() < 1e-5
                assert is_itself
            else:
                mixed += 1
                np.testing.assert_allclose(wave, target @ centred, atol=1e-5)
    assert 12 < mixed < 36  # of 48, half on average


def test_features_are_augmented_alike_on_every_backend(write_manifest):
    manifest = read_manifest(write_manifest(4))
    constants = {"num_mel_bins": 40, "num_frames": 16, "mean": -6.0, "std": 4.0}
    options = {
        "training": True,
        "frontend": LogMelFilterbank(8000, **constants),
        **SHORT,
    }
    masks = {"frequency_mask": 9, "time_mask": 6, "noise": 0.1, "roll_frames": 4}
    [(plain, _)] = batches(labelled_dataset(manifest, 4, **options))
    [(found, _)] = batches(labelled_dataset(manifest, 4, **masks, **options))
    augment = SpecAugment(**masks)
    order = np.random.default_rng((0, 0)).permutation(4)
    expected = [augment(x, draws.key(0, 0, clip)) for x, clip in zip(plain, order)]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not np.allclose(found, plain, atol=0.01)


def test_zero_before_normalisation_is_louder(write_manifest):
    path = write_manifest(1)
    frontend = LogMelFilterbank(
        8000, num_mel_bins=40, num_frames=16, mean=-6.0, std=2.0
    )
    dataset = labelled_dataset(
        path, 1, frontend=frontend, training=True, frequency_mask=40,
        mask_fill="zero_before_normalisation", seed=3, **SHORT,
    )  # fmt: skip
    [(features, _)] = batches(dataset)
    assert (features == 1.5).any()  # (0 + 6) / (2 * 2)


def test_a_clip_that_is_drawn_again_is_another_example(write_manifest):
    """A rare class of balanced sampling has few clips, and many views of each."""
    labels = ["rare", *["common"] * 19]
    options = {"training": True, "balanced": True, "mixup": 0.5, **SHORT}
    options |= {"features": "waveform", "shift_probability": 0.5}
    path = write_manifest(20, labels=labels)
    [(waves, targets)] = batches(labelled_dataset(path, 20, **options))
    drawn = targets[:, 1] > 0.5
    assert drawn.sum() > 4
    assert len({wave.tobytes() for wave in waves[drawn]}) == drawn.sum()


def test_a_mixed_in_clip_is_cropped_at_a_place_of_its_own(write_clips):
    """Of two clips that are the same, a mixture has a part of each."""
    [path] = write_clips(1, seconds=2.0)
    manifest = Manifest([path] * 4, [("one",)] * 4)
    options = {"training": True, "features": "waveform", **SHORT}
    plain = labelled_dataset(manifest, 4, **options)
    mixed = labelled_dataset(manifest, 4, mixup=1.0, **options)
    [(plain, _)], [(mixed, _)] = batches(plain), batches(mixed)
    for one, both in zip(plain, mixed):
        one = one - one.mean()
        assert 0.2 < both @ one / (one @ one) < 0.8


def test_balanced_sampling(write_manifest):
    labels = ["rare", *["common"] * 19]
    path = write_manifest(20, labels=labels)
    dataset = labelled_dataset(path, 20, training=True, balanced=True, **SHORT)
    targets = np.concatenate([batches(dataset)[0][1] for _ in range(20)])
    assert abs(np.mean(targets == 1) - 0.5) < 4 * np.sqrt(0.25 / 400)


def test_the_last_batch_is_filled_up_with_clips_that_count_nothing(write_manifest):
    path = write_manifest(5)
    dataset = labelled_dataset(path, 4, features="waveform", pad_last=True, **SHORT)
    waves, targets, weights = zip(*batches(dataset))
    assert [len(wave) for wave in waves] == [4, 4]
    assert np.concatenate(targets)[:5].tolist() == [0, 1, 0, 1, 0]
    assert np.concatenate(weights).tolist() == [np.float32(8 / 5)] * 5 + [0] * 3
    assert not waves[1][1:].any()


def test_every_clip_counts_once_in_evaluation(write_manifest):
    """Loss and accuracy with a filled-up batch are those of one batch of all."""
    manifest = read_manifest(write_manifest(7))
    backbone = tiny_backbone()
    options = {"sample_rate": RATE, "seconds": 0.25, "frontend": backbone.frontend}
    classifier = ASiTClassifier(backbone, 2)
    classifier.compile("sgd")
    found = [
        classifier.evaluate(
            labelled_dataset(manifest, size, pad_last=pad, **options), verbose=0
        )
        for size, pad in ((7, False), (4, True), (4, False), (16, True))
    ]
    for values in found[1:]:
        np.testing.assert_allclose(values, found[0], rtol=1e-5)


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


@pytest.mark.parametrize(
    "other",
    [{"mixup": 0.5}, {"time_mask": 4}, {"class_names": ["class_01", "class_00"]}],
)
def test_a_position_is_refused_by_datasets_of_other_options(write_manifest, other):
    path, options = write_manifest(4), {"training": True, **SHORT}
    state = labelled_dataset(path, 2, **options).state(1)
    labelled_dataset(path, 2, **options).restore(state)
    with pytest.raises(ValueError, match="Expected a position in this dataset"):
        labelled_dataset(path, 2, **other, **options).restore(state)


def test_wrong_arguments(write_manifest):
    path = write_manifest(2)
    with pytest.raises(ValueError, match="crop of at least a sample"):
        labelled_dataset(path, 2, seconds=0)
    for training in (True, False):
        with pytest.raises(ValueError, match="integer of 0 or more, below"):
            labelled_dataset(path, 2, seed=-1, training=training)
    with pytest.raises(ValueError, match=r"at least one clip\. Received: none"):
        labelled_dataset(read_manifest(path).take([]), 1)
    with pytest.raises(ValueError, match=r"mixup in \[0, 1\]"):
        labelled_dataset(path, 2, mixup=1.5)
    with pytest.raises(ValueError, match='Use features="fbank"'):
        labelled_dataset(path, 2, features="waveform", noise=0.1)
    with pytest.raises(ValueError, match="a frontend with mean and std for masks"):
        labelled_dataset(path, 2, time_mask=3, frontend=LogMelFilterbank(32000))
    with pytest.raises(ValueError, match="roll_frames to be a whole number of 0"):
        labelled_dataset(path, 2, roll_frames=2.5)
    with pytest.raises(ValueError, match="time_mask to be a whole number of 0"):
        labelled_dataset(path, 2, time_mask=0.3)  # a share of the frames
    with pytest.raises(ValueError, match="batch_size to be a whole number"):
        labelled_dataset(path, 0, pad_last=True)
    with pytest.raises(ValueError, match="Expected a mask fill"):
        labelled_dataset(path, 2, time_mask=3, mask_fill="median")
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
