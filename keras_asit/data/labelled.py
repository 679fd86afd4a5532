"""Clips with labels: what a classifier trains on and is measured by."""

from keras_asit.audio import AudioError
from keras_asit.data.batches import (
    checked_seed,
    feature_layer,
    make_batches,
)
from keras_asit.data.clips import (
    ClipReader,
    centre_crop,
    circular_shift,
    random_crop,
)
from keras_asit.data.examples import ClipExamples
from keras_asit.data.sources import as_manifest


def labelled_dataset(
    source,
    batch_size,
    sample_rate=32000,
    seconds=6.0,
    features="fbank",
    frontend=None,
    training=False,
    seed=0,
    class_names=None,
    multi_label=None,
    shift_probability=0.0,
    cache=False,
    drop_remainder=None,
    workers=2,
    max_failure_share=0.05,
):
    """Clips of one length with their targets.

    In training clips come in random order and are cropped at random. In
    evaluation they keep the manifest's order, are cropped in the middle, and
    the last batch may be smaller. Shorter clips end in zeros.

    A clip that cannot be read is passed over. In training the next readable
    clip takes its place, with its own target, so that epochs keep their
    length. In evaluation nothing may count twice: every clip is read once
    beforehand (with `cache` that costs nothing), and the broken ones are left
    out; compare predictions with the targets that the dataset gives.

    Args:
        source: A `Manifest` with labels, or the path of one.
        batch_size: Clips in a batch.
        sample_rate: Rate in Hz that clips are resampled to.
        seconds: Length of a clip.
        features: `"fbank"`, or `"waveform"` for a filterbank in the model.
        frontend: The `LogMelFilterbank` to use, best that of the backbone. By
            default normalised as a backbone's default one, by AudioSet's mean and
            deviation, with whole patches of frames.
        training: Whether clips are shuffled and cropped at random.
        seed: Integer that fixes orders, shifts and crops; None draws one.
        class_names: Order of the classes; the manifest's by default.
        multi_label: True for multi-hot targets; by default when some clip has
            more than one label.
        shift_probability: In training, probability of a circular shift.
        cache: Whether waveforms stay in memory once read.
        drop_remainder: Whether clips that fill no batch are left out; by
            default in training.
        workers: Threads that read.
        max_failure_share: Share of clips that may be unreadable.

    Output shape:
        Batches `(x, y)`: x `[batch, frames, mel bins]` or `[batch, samples]`,
        float32; y int32 `[batch]`, or multi-hot float32 `[batch, classes]`. A
        `tf.data.Dataset` on the TensorFlow backend, a
        `keras.utils.PyDataset` on the others.

    Raises:
        ValueError: for arguments out of range and for clips without a
            label; `TooManyBrokenFiles`, a `ValueError`, when more clips fail
            than may. Inside `tf.data` it arrives as
            `tf.errors.InvalidArgumentError` with the same text.

    Example:

    >>> path = keras_asit.data.synthetic.write_dataset(
    ...     "events", splits={"train": 2, "test": 1}, seconds=0.5)
    >>> manifest = keras_asit.data.read_manifest(path)
    >>> test = labelled_dataset(manifest.where(split="test"), 4, seconds=0.4)
    >>> x, y = next(iter(test))  # or classifier.evaluate(test)
    >>> tuple(x.shape), tuple(y.shape)
    ((4, 32, 128), (4,))
    """
    if seconds <= 0 or not 0 <= shift_probability <= 1:
        raise ValueError(
            "Expected seconds > 0 and shift_probability in [0, 1]. "
            f"Received: {seconds}, {shift_probability}"
        )
    seed = checked_seed(seed)
    samples = round(seconds * sample_rate)
    frontend = feature_layer(features, frontend, sample_rate, samples)
    manifest = as_manifest(source)
    targets = manifest.targets(class_names, multi_label)
    reader = ClipReader(manifest.paths, sample_rate, cache, max_failure_share)
    kind = _TrainingClips if training else _EvaluationClips
    examples = kind(reader, targets, samples, seed, shift_probability, workers)
    if drop_remainder is None:
        drop_remainder = training
    return make_batches(examples, batch_size, frontend, drop_remainder, workers)


class _TrainingClips(ClipExamples):
    """Random crops with targets, shuffled."""

    def __init__(self, reader, targets, samples, seed, shift_probability, workers):
        shapes, dtypes = [(samples,), targets.shape[1:]], ["float32", targets.dtype]
        super().__init__(reader, range(len(reader)), True, seed, shapes, dtypes)
        self.targets, self.samples = targets, samples
        self.shift_probability = shift_probability

    def read(self, epoch, index, rng):
        wave, index = self.reader.read_or_next(index)
        wave = circular_shift(wave, rng, self.shift_probability)
        return random_crop(wave, self.samples, rng), self.targets[index]


class _EvaluationClips(ClipExamples):
    """The middle of each readable clip with its target, in order."""

    def __init__(self, reader, targets, samples, seed, shift_probability, workers):
        shapes, dtypes = [(samples,), targets.shape[1:]], ["float32", targets.dtype]
        indices = reader.readable(workers)
        super().__init__(reader, indices, False, seed, shapes, dtypes)
        self.targets, self.samples = targets, samples

    def read(self, epoch, index, rng):
        wave = self.reader.read(index)
        if wave is None:
            raise AudioError(
                self.reader.paths[index],
                "could be read when the dataset was made, and no longer can.",
            )
        return centre_crop(wave, self.samples), self.targets[index]
