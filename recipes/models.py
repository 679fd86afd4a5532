"""The networks of recipes: small ones for two CPU cores, and those of the paper."""

import dataclasses

from keras_asit import presets
from keras_asit.audio import LogMelFilterbank


@dataclasses.dataclass(frozen=True)
class NamedModel:
    """A backbone of the paper's sizes, made as a `training.SmallModel` is.

    Attributes:
        name: One of `presets.names()`.
        crop_seconds: Length of a view.
        num_frames: Frames of a view.
    """

    name: str = "asit_small"
    crop_seconds: float = 6.0
    num_frames: int = 592

    def frontend(self, mean=None, std=None):
        """The paper's filterbank: 32 kHz, 128 mel bins, frames of 25 ms every 10 ms."""
        return LogMelFilterbank(num_frames=self.num_frames, mean=mean, std=std)

    def backbone(self, frontend):
        """A new backbone with random weights."""
        plain = presets.load(self.name, load_weights=False, num_frames=self.num_frames)
        return type(plain).from_config({**plain.get_config(), "frontend": frontend})
