"""Clips with labels: what a classifier trains on and is measured by."""

import numpy as np

from keras_asit import replicas
from keras_asit.audio import AudioError
from keras_asit.data import draws
from keras_asit.data import mixup as mixing
from keras_asit.data.batches import (
    checked_count,
    checked_samples,
    checked_seed,
    feature_layer,
    make_batches,
)
from keras_asit.data.clip_source import clip_source
from keras_asit.data.clips import ClipReader, centre_part, rotated_part
from keras_asit.data.examples import ClipExamples
from keras_asit.data.sampling import Balanced, InOrder, Shuffled
from keras_asit.data.spec_augment import SpecAugment, masked_value
from keras_asit.data.views import first_samples

SILENT = -1  # number of a clip that only fills up a batch


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
    mixup=0.0,
    frequency_mask=0,
    time_mask=0,
    mask_fill="mean",
    noise=0.0,
    roll_frames=0,
    balanced=False,
    cache=False,
    drop_remainder=None,
    pad_last=None,
    workers=None,
    max_failure_share=0.05,
):
    """Clips of one length with their targets.

    In training clips come in random order, are cropped at random, and are augmented
    as far as is asked for, in the manner of AST (section 7 of the specification). In
    evaluation they keep the manifest's order, are cropped in the middle, and
    the last batch may be smaller. Shorter clips end in zeros.

    Where several devices share a batch, the last batch of evaluation is filled up with
    silent clips of weight 0 (`pad_last`), so that it can be shared too. The other
    weights are so that the mean over all slots is the mean over the clips: `evaluate`
    counts each clip once, in the loss and in `weighted_metrics`. `predict` gives rows
    for the silent clips as well; they are the last.

    A clip that cannot be read is passed over. In training the next readable
    clip takes its place, with its own target, so that epochs keep their
    length. In evaluation nothing may count twice: every clip is read once
    beforehand (with `cache` that costs nothing), and the broken ones are left
    out; compare predictions with the targets that the dataset gives.

    Args:
        source: A `Manifest` with labels, the path of one, or a folder of shards.
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
        mixup: In training, share of the clips that are mixed, as waveforms, with a
            clip drawn from the whole set; the labels are mixed alike, with a share
            drawn from Beta(10, 10). Targets are then float32 `[batch, classes]`
            also where each clip has one label.
        frequency_mask: In training, mel bins below which the width of a masked band is
            drawn (SpecAugment).
        time_mask: The same for frames.
        mask_fill: What masked features become: `"mean"`, or
            `"zero_before_normalisation"` as in AST.
        noise: In training, highest level of the noise added to normalised features;
            0.1 in AST.
        roll_frames: In training, most frames that features are rolled in time; 10 in
            AST.
        balanced: In training, whether clips are drawn with replacement so that
            classes come alike (`keras_asit.data.sampling.Balanced`); an epoch has as
            many as there are clips.
        cache: Whether waveforms stay in memory once read, up to 4 GiB.
        drop_remainder: Whether clips that fill no batch are left out; by
            default in training.
        pad_last: In evaluation, whether the last batch is filled up with clips of
            weight 0; by default where more than one device shares a batch.
        workers: Threads that read; one a processor by default.
        max_failure_share: Share of clips that may be unreadable.

    Output shape:
        Batches `(x, y)`: x `[batch, frames, mel bins]` or `[batch, samples]`,
        float32; y int32 `[batch]`, or multi-hot float32 `[batch, classes]`. With
        `pad_last` `(x, y, weights)`: weights float32 `[batch]`. A
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
    if not 0 <= shift_probability <= 1 or not 0 <= mixup <= 1:
        raise ValueError(
            "Expected shift_probability and mixup in [0, 1]. "
            f"Received: {shift_probability}, {mixup}"
        )
    seed = checked_seed(seed)
    batch_size = checked_count("batch_size", batch_size)
    frequency_mask = checked_count("frequency_mask", frequency_mask, least=0)
    time_mask = checked_count("time_mask", time_mask, least=0)
    roll_frames = checked_count("roll_frames", roll_frames, least=0)
    samples = checked_samples(seconds, sample_rate)
    frontend = feature_layer(features, frontend, sample_rate, samples)
    constants = (getattr(frontend, name, None) for name in ("mean", "std"))
    augmented = SpecAugment(
        frequency_mask,
        time_mask,
        masked_value(mask_fill, *constants),
        noise,
        roll_frames,
    )
    if frontend is not None and frontend.mean is None and not augmented.changes_nothing:
        raise ValueError(
            "Expected a frontend with mean and std for masks, noise or roll, which are "
            "in units of normalised features. Received: one without. Measure them: "
            "asit audit MANIFEST"
        )
    if frontend is None and not augmented.changes_nothing:
        raise ValueError(
            'Expected no masks, noise or roll with features="waveform": they change '
            'features. Use features="fbank"'
        )
    clips = clip_source(source, sample_rate)
    targets = clips.manifest.class_indices(class_names, multi_label)
    reader = ClipReader(clips, sample_rate, cache, max_failure_share)
    drop_remainder = training if drop_remainder is None else drop_remainder
    if not training:
        pad_last = replicas.share_a_batch() if pad_last is None else pad_last
        size = batch_size if pad_last and not drop_remainder else None
        examples = EvaluationClips(reader, targets, samples, seed, workers, size)
        return make_batches(examples, batch_size, frontend, drop_remainder, workers)
    examples = TrainingClips(
        reader,
        targets,
        seed,
        Balanced(targets) if balanced else Shuffled(range(len(reader))),
        samples,
        shift_probability,
        mixup,
        None if augmented.changes_nothing else augmented,
    )
    return make_batches(examples, batch_size, frontend, drop_remainder, workers)


class TrainingClips(ClipExamples):
    """Random crops with targets, augmented."""

    def __init__(
        self, reader, targets, seed, sampler, samples, shift, mixup_rate, augmented
    ):
        of_target = (targets.num_classes,) if mixup_rate else targets.shape
        dtype = "float32" if mixup_rate else targets.dtype
        shapes, dtypes = [(samples,), of_target], ["float32", dtype]
        options = {
            "targets": targets.identity,
            "shift_probability": shift,
            "mixup": mixup_rate,
            "augmented": vars(augmented) if augmented else None,
        }
        super().__init__(reader, seed, shapes, dtypes, sampler, augmented, options)
        self.targets, self.samples = targets, samples
        self.shift, self.mixup_rate = shift, mixup_rate

    def read(self, index, key):
        wave, index = self._crop(index, key)
        if not self.mixup_rate:
            return wave, self.targets[index]
        target = self._multi_hot(index)
        drawn = mixing.draw(key, self.mixup_rate, len(self.reader))
        if drawn is None:
            return wave, target
        partner, share = drawn
        other, partner = self._crop(partner, draws.derived(key, partner))
        mixed = share * target + (1.0 - share) * self._multi_hot(partner)
        return mixing.mix(wave, other, share), mixed

    def _multi_hot(self, index):
        target = np.zeros(self.targets.num_classes, "float32")
        target[self.targets.row(index)] = 1.0
        return target

    def _crop(self, index, key):
        def crop(clip):
            [first] = first_samples(key, clip.samples, self.samples, 1, self.shift)
            return rotated_part(clip, int(first), self.samples)

        return self.reader.attempt_from(index, crop, self.samples)


class EvaluationClips(ClipExamples):
    """The middle of each readable clip with its target, in order.

    With `batch_size` the last batch is full: silent clips of weight 0 end it.
    """

    def __init__(self, reader, targets, samples, seed, workers, batch_size=None):
        shapes, dtypes = [(samples,), targets.shape], ["float32", targets.dtype]
        indices = reader.readable(workers)
        self.clips, slots = len(indices), len(indices)
        self.is_weighted = batch_size is not None
        if self.is_weighted:
            shapes, dtypes = [*shapes, ()], [*dtypes, "float32"]
            slots = -(-self.clips // batch_size) * batch_size
            indices = np.pad(indices, (0, slots - self.clips), constant_values=SILENT)
        self.weight = slots / max(1, self.clips)
        options = {"targets": targets.identity}
        in_order = InOrder(indices)
        super().__init__(reader, seed, shapes, dtypes, in_order, options=options)
        self.targets, self.samples = targets, samples

    def read(self, index, key):
        if index == SILENT:
            return *map(np.zeros, self.shapes[:2]), 0.0
        wave = self.reader.attempt(
            index, lambda clip: centre_part(clip, self.samples), self.samples
        )
        if wave is None:
            raise AudioError(
                self.reader.clips.name(index),
                "could be read when the dataset was made, and no longer can.",
            )
        weight = [self.weight] if self.is_weighted else []
        return wave, self.targets[index], *weight
