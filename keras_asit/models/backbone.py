"""The vision transformer over spectrograms."""

from numbers import Integral

import keras
import numpy as np
from keras import ops

from keras_asit.audio import LogMelFilterbank
from keras_asit.audio.filterbank import AUDIOSET_MEAN, AUDIOSET_STD
from keras_asit.layers.block_stack import can_loop, loop_over
from keras_asit.layers.dense import KERNEL_STD
from keras_asit.layers.layer_norm import LayerNorm
from keras_asit.layers.patch_embedding import POSITION_STD, PatchEmbedding, patch_grid
from keras_asit.layers.transformer_block import TransformerBlock, check_heads
from keras_asit.models.shapes import checked_shape


@keras.saving.register_keras_serializable("keras_asit")
class ASiTBackbone(keras.Model):
    """A vision transformer that maps log-mel spectrograms to tokens.

    Pre-norm blocks, a class token, learned positions and a final LayerNorm
    (paper, Section 3.1 and Section 4.2). What it was trained on, the rate, the
    mel bins and the normalisation, travels with it as `backbone.frontend`.

    Args:
        input_shape: Frames T and mel bins F.
        patch_size: Side of a square patch, in frames and bins.
        hidden_dim: Width D of the tokens.
        num_layers: Number of transformer blocks.
        num_heads: Attention heads of a block; divides `hidden_dim`.
        mlp_dim: Hidden width of a block's MLP.
        drop_path: Stochastic depth of the last block; it grows linearly from 0
            at the first. It can be set later, before training.
        frontend: The `LogMelFilterbank` that makes its input from waveforms. By
            default that of the paper: 32 kHz, AudioSet's mean and deviation.
        kernel_std: Deviation of the initial kernels, here and in a pretrainer's
            heads; None scales it to the width, which narrow networks need.
        position_std: Deviation of the initial position embedding; narrow networks
            that train for minutes need one near that of the projected patches.
        rematerialise: Whether training computes each block again in the backward pass,
            a third more arithmetic, rather than keeping what is inside: for long inputs
            and large batches. Gradients are the same.

    Input shape:
        `(B, T, F)`: normalised log-mel spectrograms, time first.

    Output shape:
        `(B, 1 + P, D)`: class token, then the patches, time-major.

    Raises:
        ValueError: If the patch does not divide the input, the heads do not
            divide the width, or the frontend or a call gives another shape.

    Example:

    >>> backbone = ASiTBackbone((592, 128), hidden_dim=192, num_layers=2,
    ...                         num_heads=3, mlp_dim=768)
    >>> tokens = backbone(keras.ops.zeros((1, 592, 128)))
    >>> tuple(tokens.shape)
    (1, 297, 192)

    Reference:
        Dosovitskiy et al., An Image is Worth 16x16 Words, 2021.
    """

    def __init__(
        self,
        input_shape=(592, 128),
        patch_size=16,
        hidden_dim=768,
        num_layers=12,
        num_heads=12,
        mlp_dim=3072,
        drop_path=0.0,
        frontend=None,
        kernel_std=KERNEL_STD,
        position_std=POSITION_STD,
        rematerialise=False,
        **kwargs,
    ):
        num_frames, num_mel_bins = _check_shape(input_shape)
        if num_layers < 1:
            raise ValueError(f"num_layers is at least 1; received {num_layers!r}.")
        grid = patch_grid((num_frames, num_mel_bins), patch_size)
        check_heads(hidden_dim, num_heads)
        frontend = frontend or LogMelFilterbank(
            num_mel_bins=num_mel_bins,
            num_frames=num_frames,
            mean=AUDIOSET_MEAN,
            std=AUDIOSET_STD,
        )
        _check_frontend(frontend, num_frames, num_mel_bins)

        dtype, trainable = kwargs.pop("dtype", None), kwargs.pop("trainable", True)
        embedding = PatchEmbedding(
            patch_size,
            hidden_dim,
            kernel_std,
            position_std,
            dtype=dtype,
            name="patch_embedding",
        )
        blocks = [
            TransformerBlock(
                num_heads,
                mlp_dim,
                kernel_std=kernel_std,
                rematerialise=rematerialise,
                dtype=dtype,
                name=f"block_{i}",
            )
            for i in range(num_layers)
        ]
        norm = LayerNorm(dtype=dtype, name="norm")

        spectrogram = keras.Input((num_frames, num_mel_bins), name="spectrogram")
        tokens = embedding(spectrogram)
        for block in blocks:
            tokens = block(tokens)
        super().__init__(inputs=spectrogram, outputs=norm(tokens), **kwargs)
        # A functional model forgets what it was asked for.
        self.dtype_policy = embedding.dtype_policy

        self.num_frames = num_frames
        self.num_mel_bins = num_mel_bins
        self.grid = grid
        self.patch_size = patch_size
        self.hidden_dim = hidden_dim
        self.num_layers = num_layers
        self.num_heads = num_heads
        self.mlp_dim = mlp_dim
        self.blocks = blocks
        self.embedding = embedding
        self.norm = norm
        self.frontend = frontend
        self.kernel_std = kernel_std
        self.position_std = position_std
        self.rematerialise = rematerialise
        self.drop_path = drop_path
        self.trainable = trainable  # only now does it reach the layers

    def __call__(self, inputs, *args, **kwargs):
        if hasattr(inputs, "shape"):  # else a list or a dictionary, which Keras checks
            checked_shape(inputs, self)
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs, training=None, mask=None):
        if not can_loop(self.blocks, inputs):
            return super().call(inputs, training=training, mask=mask)
        tokens = self.embedding(ops.cast(inputs, self.compute_dtype))
        return self.norm(loop_over(self.blocks, tokens, bool(training)))

    @property
    def drop_path(self):
        """Stochastic depth of the last block; set it before training starts."""
        return self._drop_path

    @drop_path.setter
    def drop_path(self, rate):
        rates = np.linspace(0.0, rate, len(self.blocks))
        if len(self.blocks) == 1:
            rates = [rate]
        for block, block_rate in zip(self.blocks, rates, strict=True):
            block.drop_path = float(block_rate)
        self._drop_path = rate

    def get_config(self):
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": keras.saving.serialize_keras_object(self.dtype_policy),
            "input_shape": (self.num_frames, self.num_mel_bins),
            "patch_size": self.patch_size,
            "hidden_dim": self.hidden_dim,
            "num_layers": self.num_layers,
            "num_heads": self.num_heads,
            "mlp_dim": self.mlp_dim,
            "drop_path": self.drop_path,
            "kernel_std": self.kernel_std,
            "position_std": self.position_std,
            "rematerialise": self.rematerialise,
            "frontend": keras.saving.serialize_keras_object(self.frontend),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for key in ("frontend", "dtype"):
            if isinstance(config.get(key), dict):
                config[key] = keras.saving.deserialize_keras_object(
                    config[key], custom_objects=custom_objects
                )
        return cls(**config)


def _check_shape(input_shape):
    shape = tuple(input_shape) if isinstance(input_shape, (tuple, list)) else ()
    if len(shape) != 2 or not all(isinstance(n, Integral) and n > 0 for n in shape):
        raise ValueError(
            "input_shape is (frames, mel bins), two whole numbers of 1 or more, for "
            f"example (592, 128); received {input_shape!r}."
        )
    return tuple(int(side) for side in shape)


def _check_frontend(frontend, num_frames, num_mel_bins):
    shape = (frontend.num_frames, frontend.num_mel_bins)
    if shape != (num_frames, num_mel_bins):
        raise ValueError(
            f"The frontend must give input_shape={(num_frames, num_mel_bins)}; it "
            f"gives (num_frames, num_mel_bins)={shape}. Make it with "
            f"LogMelFilterbank(num_frames={num_frames}, num_mel_bins={num_mel_bins})."
        )
