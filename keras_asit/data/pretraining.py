"""Clips to clean views: what the pretrainer trains on."""

import numpy as np

from keras_asit.data.batches import (
    checked_seed,
    feature_layer,
    make_batches,
)
from keras_asit.data.clips import ClipReader, circular_shift, random_crop
from keras_asit.data.examples import ClipExamples
from keras_asit.data.sources import as_manifest


def pretraining_dataset(
    source,
    batch_size,
    sample_rate=32000,
    crop_seconds=6.0,
    views=2,
    seed=0,
    features="fbank",
    frontend=None,
    shift_probability=0.5,
    shuffle=True,
    cache=False,
    drop_remainder=True,
    workers=2,
    max_failure_share=0.05,
):
    """Clean views of clips without labels, shuffled anew in every epoch.

    A clip is read, rotated by a random number of samples, and cropped at
    random once a view (Section III of the paper: two crops of 6 s); clips
    shorter than a crop end in zeros. Rotation is option 20 of the profiles.

    A clip that cannot be read is passed over: the next readable clip of the
    manifest takes its place, so that batches and epochs keep their size. At
    the end of an epoch a warning counts and names such clips.

    The draws depend on the seed, the epoch and the clip only, not on threads
    or on the backend. An epoch is one pass over the dataset.

    Args:
        source: A `Manifest`, the path of one, or a list of audio paths.
        batch_size: Clips in a batch.
        sample_rate: Rate in Hz that clips are resampled to.
        crop_seconds: Length of a view.
        views: Views of each clip.
        seed: Integer that fixes orders, shifts and crops; None draws one.
        features: `"fbank"`, or `"waveform"` for a filterbank that runs in the
            model, on the accelerator.
        frontend: The `LogMelFilterbank` to use, best that of the backbone. By
            default normalised as a backbone's default one, by AudioSet's mean and
            deviation, with whole patches of frames.
        shift_probability: Probability of the rotation.
        shuffle: Whether clips come in random order.
        cache: Whether waveforms stay in memory after the first epoch.
        drop_remainder: Whether clips that fill no batch are left out.
        workers: Threads that read.
        max_failure_share: Share of clips that may be unreadable.

    Output shape:
        Batches `[batch, views, frames, mel bins]`, or `[batch, views,
        samples]`, float32: a `tf.data.Dataset` on the TensorFlow backend, a
        `keras.utils.PyDataset` on the others.

    Raises:
        ValueError: for arguments out of range; `TooManyBrokenFiles`, a
            `ValueError`, when more clips fail than may. Inside `tf.data` it
            arrives as `tf.errors.InvalidArgumentError` with the same text.

    Example:

    >>> manifest = keras_asit.data.synthetic.write_dataset(
    ...     "events", splits={"train": 2}, seconds=0.5)
    >>> train = pretraining_dataset(
    ...     manifest, batch_size=8, crop_seconds=0.4, frontend=backbone.frontend)
    >>> tuple(next(iter(train)).shape)  # as pretrainer.fit(train) takes them
    (8, 2, 32, 32)
    """
    if views < 1 or crop_seconds <= 0 or not 0 <= shift_probability <= 1:
        raise ValueError(
            "Expected views >= 1, crop_seconds > 0 and shift_probability in [0, 1]. "
            f"Received: {views}, {crop_seconds}, {shift_probability}"
        )
    seed = checked_seed(seed)
    samples = round(crop_seconds * sample_rate)
    frontend = feature_layer(features, frontend, sample_rate, samples)
    reader = ClipReader(
        as_manifest(source).paths, sample_rate, cache, max_failure_share
    )
    examples = _Views(reader, shuffle, seed, views, samples, shift_probability)
    return make_batches(examples, batch_size, frontend, drop_remainder, workers)


class _Views(ClipExamples):
    """Random crops of each clip: `[views, samples]`."""

    def __init__(self, reader, shuffle, seed, views, samples, shift_probability):
        indices, shapes = range(len(reader)), [(views, samples)]
        super().__init__(reader, indices, shuffle, seed, shapes, ["float32"])
        self.views, self.samples = views, samples
        self.shift_probability = shift_probability

    def read(self, epoch, index, rng):
        wave, _ = self.reader.read_or_next(index)
        wave = circular_shift(wave, rng, self.shift_probability)
        crops = [random_crop(wave, self.samples, rng) for _ in range(self.views)]
        return (np.stack(crops),)
