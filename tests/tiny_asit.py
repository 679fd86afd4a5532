"""A pretrainer small enough for tests, its views, and a corruption without chance."""

import keras
import numpy as np
from keras import ops

from keras_asit.audio import LogMelFilterbank
from keras_asit.models import ASiTBackbone, ASiTPretrainer

FRAMES, BINS, PATCH = 48, 32, 16
PATCHES = (FRAMES // PATCH) * (BINS // PATCH)
RATE = 16000
SAMPLES = 400 + (FRAMES - 1) * 160  # of a waveform that gives FRAMES frames

# Widths repeat: JAX compiles the draw of initial weights for every new shape.
TINY_HEADS = {
    "projection_hidden_dims": (32, 32),
    "projection_bottleneck_dim": 32,
    "local_dim": 16,
    "global_dim": 24,
    "reconstruction_hidden_dims": (32, 32),
    "reconstruction_bottleneck_dim": 32,
}


def tiny_backbone(**arguments):
    """A backbone of width 32 and 2 blocks over (48, 32) spectrograms at 16 kHz."""
    frontend = LogMelFilterbank(
        sample_rate=RATE, num_mel_bins=BINS, num_frames=FRAMES, mean=-4.0, std=4.5
    )
    arguments = {"num_layers": 2, "num_heads": 2, "frontend": frontend, **arguments}
    return ASiTBackbone(
        (FRAMES, BINS), patch_size=PATCH, hidden_dim=32, mlp_dim=32, **arguments
    )


def tiny_pretrainer(profile="paper", backbone=None, **options):
    """A pretrainer with narrow heads on a tiny backbone; not compiled."""
    options = {**TINY_HEADS, "seed": 0, **options}
    return ASiTPretrainer(backbone or tiny_backbone(), profile=profile, **options)


@keras.saving.register_keras_serializable("keras_asit_tests")
class LoudPixels(keras.layers.Layer):
    """Sets the pixels above a threshold to zero: the same on every backend.

    The mask depends on the pixel alone, not on its place in the batch, so it stays
    the same when a batch is cut into slices.
    """

    def __init__(self, threshold=0.3, **kwargs):
        super().__init__(**kwargs)
        self.threshold = threshold

    def call(self, clean):
        mask = ops.cast(clean > self.threshold, clean.dtype)
        return clean * (1 - mask), mask

    def get_config(self):
        return {**super().get_config(), "threshold": self.threshold}


def clean_views(clips=8, views=2, seed=0):
    """Noise `(B, V, T, F)` in which some patches are quiet: never above 0.3.

    The later the clip, the fewer its quiet patches: `LoudPixels` changes a quarter of
    the patches of the first clips and nearly all of the last.
    """
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(clips, views, FRAMES, BINS))
    loud_share = np.linspace(0.1, 1.0, clips)[:, None, None, None]
    grid = (clips, views, FRAMES // PATCH, BINS // PATCH)
    loud = rng.random(grid) < loud_share
    loud[:, :, 0, 0] = True
    scale = np.where(loud, 1.0, 0.02).repeat(PATCH, axis=2).repeat(PATCH, axis=3)
    return (noise * scale).astype("float32")


def waveforms(clips=4, views=2, seed=0):
    """Noise `(B, V, S)` of the length that the tiny frontend needs."""
    rng = np.random.default_rng(seed)
    return (0.1 * rng.normal(size=(clips, views, SAMPLES))).astype("float32")


def values(variables):
    """Copies of variables as numpy arrays."""
    return [np.array(ops.convert_to_numpy(variable)) for variable in variables]


def student_and_teacher(pretrainer):
    """The student's weights and the teacher's, in pairs, as two lists of variables."""
    heads = pretrainer.student_heads
    student = [pretrainer.student, *heads.values()]
    teacher = [pretrainer.teacher, *(pretrainer.teacher_heads[part] for part in heads)]
    return (
        [variable for layer in student for variable in layer.weights],
        [variable for layer in teacher for variable in layer.weights],
    )


def shake(variables, seed=1, scale=0.05):
    """Adds numpy's noise, so that teacher, centres and biases are not trivial."""
    rng = np.random.default_rng(seed)
    for variable in variables:
        noise = scale * rng.normal(size=variable.shape)
        variable.assign(np.array(variable) + noise.astype("float32"))
