"""Waveforms to embeddings, of clips or of moments."""

import functools

import keras
import numpy as np
from keras import ops

from keras_asit.audio.reading import resample
from keras_asit.layers.pooling import POOLINGS, pool
from keras_asit.models.backbone_of import backbone_of
from keras_asit.models.classifier import cover

LEVELS = ("clip", "frame")


def embed(
    model,
    waveforms,
    sample_rate,
    level="clip",
    pooling="mean",
    batch_size=32,
    last_layers=1,
):
    """Embeds waveforms of any rate and length with a backbone.

    The representation is taken before any head, as for downstream tasks (paper,
    Section 3.1). A clip longer than the backbone's input is cut into windows that
    cover it, and where several windows see the same thing their embeddings are
    averaged; a shorter one is padded with zeros.

    Args:
        model: An `ASiTBackbone`, an `ASiTClassifier` (its backbone is used) or an
            `ASiTPretrainer` (its teacher is used).
        waveforms: Floats in [-1, 1]: `(B, S)`, `(S,)` for one clip, or a list of
            arrays `(S,)` of different lengths.
        sample_rate: Rate of the waveforms in Hz; they are resampled to the
            frontend's where it differs.
        level: `"clip"`, or `"frame"` for an embedding of every step of patches in
            time, its tokens averaged over frequency.
        pooling: `"mean"` of the data tokens, `"cls"` for the class token,
            `"cls+mean"` for both, `"bands"` for the mean over time of each band of
            frequency, `"statistics"` for its deviation and change too, or `"grid"`
            for all tokens of a window, for the level `"clip"`. The mean by default:
            the class token has learned nothing where the global loss was off.
        batch_size: Windows per forward pass.
        last_layers: Of how many of the last blocks embeddings are made, one behind the
            other, each after the final norm (as DINO's linear evaluation reads four
            blocks).

    Returns:
        Level `"clip"`: float32 `(B, D)`, with `"cls+mean"` `(B, 2 D)`, with
        `"bands"` D for each band, with `"statistics"` three of them, with `"grid"` D
        for each patch. Level `"frame"`: `(embeddings, times)`, float32 `(B, T', D)`
        and the centres of the steps in seconds, `(T',)`; padding has no steps. All of
        it as often as there are `last_layers`.

    Raises:
        ValueError: If an argument is none of those above, the waveforms hold NaN,
            or differ in length at the level `"frame"`.

    Example:

    >>> import numpy as np, keras_asit
    >>> backbone = keras_asit.models.ASiTBackbone(
    ...     (96, 128), hidden_dim=64, num_layers=2, num_heads=2, mlp_dim=128)
    >>> waves = np.random.default_rng(0).uniform(-1, 1, (3, 16000)).astype("float32")
    >>> keras_asit.embed(backbone, waves, sample_rate=16000).shape
    (3, 64)
    >>> embeddings, times = keras_asit.embed(backbone, waves, 16000, level="frame")
    >>> embeddings.shape, times.round(3)[:3].tolist()
    ((3, 6, 64), [0.088, 0.248, 0.408])
    """
    if level not in LEVELS or pooling not in POOLINGS or batch_size < 1:
        raise ValueError(
            f"level is one of {list(LEVELS)}, pooling of {list(POOLINGS)} and "
            f"batch_size at least 1; received level={level!r}, pooling={pooling!r}, "
            f"batch_size={batch_size!r}."
        )
    backbone = backbone_of(model)
    if last_layers not in range(1, backbone.num_layers + 1):
        raise ValueError(
            f"last_layers is a whole number from 1 to the {backbone.num_layers} of the "
            f"backbone; received {last_layers!r}."
        )
    clips = _clips(waveforms, sample_rate, backbone.frontend.sample_rate)
    tokens_of = functools.partial(
        _tokens, backbone, _reader_of(backbone, last_layers), batch_size=batch_size
    )
    if level == "frame":
        return _embed_frames(backbone, clips, tokens_of)
    return _embed_clips(backbone, clips, pooling, tokens_of)


def _reader_of(backbone, last_layers):
    """A model whose tokens are those of the last blocks, one behind the other."""
    if last_layers == 1:
        return backbone
    states = [backbone.norm(block.output) for block in backbone.blocks[-last_layers:]]
    return keras.Model(backbone.inputs, ops.concatenate(states, axis=-1))


def _clips(waveforms, sample_rate, target_rate):
    """A list of float32 waveforms `[S]` at the frontend's rate."""
    if not sample_rate > 0:
        raise ValueError(f"sample_rate is above 0 Hz; received {sample_rate!r}.")
    if not isinstance(waveforms, (list, tuple)):
        waveforms = ops.convert_to_numpy(waveforms)
        waveforms = waveforms[None] if waveforms.ndim == 1 else waveforms
    clips = [np.asarray(wave) for wave in waveforms]
    if not clips:
        raise ValueError("Expected at least one waveform; received none.")
    for number, clip in enumerate(clips):
        if clip.ndim != 1 or not clip.size or clip.dtype.kind != "f":
            raise ValueError(
                "waveforms are floats (B, S), (S,) or a list of (S,), S >= 1; number "
                f"{number} is {clip.dtype} of shape {clip.shape}. Mix stereo down, "
                "and divide 16-bit integers by 32768."
            )
        if not np.isfinite(clip).all():
            raise ValueError(
                f"Waveform number {number} holds NaN or infinite samples; leave it out."
            )
    clips = [clip.astype("float32") for clip in clips]
    if sample_rate == target_rate:
        return clips
    return [resample(clip, sample_rate, target_rate) for clip in clips]


def _tokens(backbone, reader, windows, batch_size):
    """Yields float32 tokens `[n, 1 + P, D]` of windows `[N, S]`, batch by batch."""
    size = min(batch_size, len(windows))
    for start in range(0, len(windows), size):
        batch = windows[start : start + size]
        # One batch size for all, or the last batch would be compiled anew.
        padded = np.pad(batch, ((0, size - len(batch)), (0, 0)))
        tokens = reader.predict_on_batch(backbone.frontend(padded))
        yield np.asarray(tokens[: len(batch)], "float32")


def _embed_clips(backbone, clips, pooling, tokens_of):
    samples = backbone.frontend.samples(backbone.num_frames)
    windows = [cover(clip, samples) for clip in clips]
    ends = np.cumsum([len(group) for group in windows])
    pooled = [
        ops.convert_to_numpy(pool(tokens, pooling, backbone.grid))
        for tokens in tokens_of(np.concatenate(windows))
    ]
    groups = np.split(np.concatenate(pooled), ends[:-1])
    return np.stack([group.mean(axis=0) for group in groups])


def _embed_frames(backbone, clips, tokens_of):
    lengths = {len(clip) for clip in clips}
    if len(lengths) > 1:
        raise ValueError(
            "At level='frame' all clips have one length; received "
            f"{min(lengths)} to {max(lengths)} samples at "
            f"{backbone.frontend.sample_rate} Hz. Cut them, or embed them one by one."
        )
    clips = np.stack(clips)
    centres = _step_centres(backbone, clips.shape[1])
    firsts = _first_steps(len(centres), backbone.grid[0])
    windows = _windows_on_the_grid(backbone, clips, firsts)
    steps = [
        tokens[:, 1:].reshape(len(tokens), *backbone.grid, -1).mean(axis=2)
        for tokens in tokens_of(windows)
    ]
    steps = np.concatenate(steps).reshape(len(clips), len(firsts), *steps[0].shape[1:])
    embeddings = _overlap_mean(steps, firsts, len(centres))
    return embeddings, centres / backbone.frontend.sample_rate


def _step_centres(backbone, length):
    """Centres, in samples, of the steps of patches that lie inside a clip.

    Step i holds the frames from `i * patch_size` on; it begins with its first
    frame and ends with the end of its last.
    """
    span = backbone.frontend.samples(backbone.patch_size)
    step = _step_samples(backbone)
    number = max(1, -(-(length - span / 2) // step))
    return np.arange(number) * step + span / 2


def _step_samples(backbone):
    frontend = backbone.frontend
    return backbone.patch_size * (frontend.samples(2) - frontend.samples(1))


def _first_steps(number, in_window):
    """First steps of windows that together cover a number of steps, evenly spaced."""
    if number <= in_window:
        return np.zeros(1, int)
    return np.linspace(0, number - in_window, -(-number // in_window)).astype(int)


def _windows_on_the_grid(backbone, clips, firsts):
    """Windows `[B W, S]` of clips `[B, S]` that begin at whole steps."""
    samples = backbone.frontend.samples(backbone.num_frames)
    starts = firsts * _step_samples(backbone)
    missing = max(0, starts[-1] + samples - clips.shape[1])
    padded = np.pad(clips, ((0, 0), (0, missing)))
    windows = [padded[:, start : start + samples] for start in starts]
    return np.stack(windows, axis=1).reshape(-1, samples)


def _overlap_mean(steps, firsts, number):
    """Steps `[B, W, T', D]` of overlapping windows as one row `[B, number, D]`."""
    total = np.zeros((len(steps), number, steps.shape[-1]), "float32")
    seen = np.zeros((number, 1), "float32")
    for window, first in enumerate(firsts):
        part = steps[:, window, : number - first]
        total[:, first : first + part.shape[1]] += part
        seen[first : first + part.shape[1]] += 1
    return total / seen
