"""A model for a laptop: its size, its filterbank and its normalisation."""

import dataclasses
import math

import keras
import numpy as np

from keras_asit import data
from keras_asit.audio import LogMelFilterbank
from keras_asit.models import ASiTBackbone

_SIZES = ("sample_rate", "num_mel_bins", "hidden_dim", "num_layers", "num_heads")
_LOWEST = {"num_frames": 2, **dict.fromkeys(_SIZES, 1)}


@dataclasses.dataclass(frozen=True)
class SmallModel:
    """A backbone that two CPU cores can train in minutes.

    The frame shift follows the crop, so that a view has `num_frames` frames
    whatever its length: tokens are the cost.

    Attributes:
        sample_rate: Hz.
        crop_seconds: Length of a view.
        num_frames: Frames of a view.
        num_mel_bins: Mel bins.
        hidden_dim: Width.
        num_layers: Blocks.
        num_heads: Attention heads.
        kernel_std: Deviation of the initial kernels; None scales it to the width.
        position_std: Deviation of the initial position embedding.

    The two deviations are not the paper's, 0.02: docs/learning.md tells why.

    Raises:
        ValueError: For fewer than 2 frames, or another size below 1.
    """

    sample_rate: int = 16000
    crop_seconds: float = 1.3
    num_frames: int = 64
    num_mel_bins: int = 64
    hidden_dim: int = 128
    num_layers: int = 4
    num_heads: int = 4
    kernel_std: float | None = None
    position_std: float = 0.3

    def __post_init__(self):
        for name, lowest in _LOWEST.items():
            if getattr(self, name) < lowest:
                raise ValueError(
                    f"Expected {name} of at least {lowest}. "
                    f"Received: {getattr(self, name)}. Give a larger one."
                )

    def frontend(self, mean=None, std=None):
        """The filterbank: frames of 25 ms or more that overlap or touch.

        They fill the crop but for less than a sample a frame.
        """
        crop = round(self.crop_seconds * self.sample_rate)
        length = max(int(0.025 * self.sample_rate), math.ceil(crop / self.num_frames))
        shift = (crop - length) // (self.num_frames - 1)
        return LogMelFilterbank(
            sample_rate=self.sample_rate,
            num_mel_bins=self.num_mel_bins,
            frame_length_ms=_milliseconds(length, self.sample_rate),
            frame_shift_ms=_milliseconds(shift, self.sample_rate),
            num_frames=self.num_frames,
            mean=mean,
            std=std,
        )

    def backbone(self, frontend):
        """A new backbone with random weights."""
        return ASiTBackbone(
            input_shape=(self.num_frames, self.num_mel_bins),
            hidden_dim=self.hidden_dim,
            num_layers=self.num_layers,
            num_heads=self.num_heads,
            mlp_dim=4 * self.hidden_dim,
            frontend=frontend,
            kernel_std=self.kernel_std,
            position_std=self.position_std,
        )


def _milliseconds(samples, sample_rate):
    """Rounded up, so that the filterbank's whole samples are these again."""
    return math.ceil(1e9 * samples / sample_rate) / 1e6


def clip_log_mel(wave, frontend):
    """The log-mel spectrogram of a whole clip, not cut and not padded.

    JAX compiles anew for every length, a second each: zeros round the clip up to
    whole seconds, and the frames that reach into them are dropped. The filterbank
    removes the mean frame by frame, so the zeros change nothing else.

    Args:
        wave: `(S,)` waveform at the frontend's rate.
        frontend: A `LogMelFilterbank` with `num_frames=None`.

    Returns:
        `(T, F)` numpy array; T is 0 for a clip shorter than a frame.
    """
    frames = frontend.frames(len(wave))
    whole_seconds = np.pad(wave, (0, -len(wave) % frontend.sample_rate))
    return keras.ops.convert_to_numpy(frontend(whole_seconds))[:frames]


def normalisation(manifest, frontend, clips=200, seed=0):
    """Mean and deviation of the log-mel values of clips, before normalisation.

    Args:
        manifest: The training clips; at most `clips` of them are looked at.
        frontend: A `LogMelFilterbank`; its own mean and deviation are not used.
        clips: How many clips to look at.
        seed: Integer that chooses them.

    Returns:
        `(mean, std)`, for `LogMelFilterbank(mean=..., std=...)`.

    Raises:
        ValueError: If no clip can be read, or all are shorter than a frame.
    """
    config = {**frontend.get_config(), "mean": None, "std": None, "num_frames": None}
    plain = LogMelFilterbank.from_config(config)
    chosen = np.random.default_rng(seed).permutation(len(manifest))[:clips]
    reader = data.ClipReader(
        manifest.take(np.sort(chosen)), plain.sample_rate, max_failure_share=1.0
    )
    count, total, squares = 0, 0.0, 0.0
    for index in range(len(reader)):
        wave = reader.read(index)
        if wave is None:
            continue
        values = clip_log_mel(wave, plain).astype("float64")
        count += values.size
        total += values.sum()
        squares += (values**2).sum()
    if not count and reader.failures:
        raise ValueError(f"No clip could be read:\n{reader.describe_failures()}")
    if not count:
        raise ValueError(
            f"Expected clips of at least one frame of {plain.frame_length_ms:g} ms. "
            f"Received: {len(reader)} clips, all of them shorter. Give longer clips, "
            "or a frontend of shorter frames."
        )
    mean = total / count
    return float(mean), float(max(squares / count - mean**2, 1e-4) ** 0.5)
