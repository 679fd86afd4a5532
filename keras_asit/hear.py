"""The common API of HEAR, the Holistic Evaluation of Audio Representations.

`hear-validator keras_asit.hear --model preset` checks it, and heareval evaluates a
preset through it.
"""

import importlib

import keras
import numpy as np

from keras_asit.embedding import embed
from keras_asit.layers.pooling import POOLINGS, pooled_width
from keras_asit.models.backbone_of import backbone_of
from keras_asit.presets import load

# At these HEAR's data sets come.
RATES = (16000, 22050, 32000, 44100, 48000)
# So that events can be found within 50 ms, as HEAR suggests.
HOP_MS = 50.0


def load_model(model_file_path="", sample_rate=None, pooling="mean", batch_size=32):
    """Loads a preset as a model of the HEAR API.

    Args:
        model_file_path: A directory that `presets.save` wrote, or another handle of
            `presets.load`. There is no default: no weights are shipped.
        sample_rate: Rate in Hz of the audio that the functions take; it is resampled
            to the backbone's. By default the backbone's own where HEAR has it, else
            the next higher of `RATES`.
        pooling: Of a scene's tokens, as of `embed`.
        batch_size: Windows per forward pass, as of `embed`.

    Returns:
        An object with `sample_rate`, `scene_embedding_size` and
        `timestamp_embedding_size`, whole numbers all, as HEAR asks for, and the
        `backbone`. It is a `tf.Module` where Keras runs on TensorFlow, and otherwise
        a `torch.nn.Module` where torch is installed: HEAR's tools send tensors of the
        library that the model is of. Only on the backend torch does it move with
        `.to(device)`; elsewhere Keras runs where it runs.

    Raises:
        ValueError: If there is no path, the preset cannot be loaded, or an argument
            is out of range.

    Example:

    >>> keras_asit.presets.save(backbone, "preset")
    >>> model = load_model("preset")
    >>> model.sample_rate, model.scene_embedding_size, model.timestamp_embedding_size
    (32000, 16, 16)

    Reference:
        Turian et al., HEAR: Holistic Evaluation of Audio Representations, 2022, and
        https://hearbenchmark.com/hear-api.html.
    """
    if not model_file_path:
        raise ValueError(
            "model_file_path is needed: no weights are shipped. Give the directory of "
            "a preset that keras_asit.presets.save wrote."
        )
    backbone = backbone_of(load(model_file_path))
    rate = _rate_for(backbone) if sample_rate is None else sample_rate
    if not rate > 0 or pooling not in POOLINGS or batch_size < 1:
        raise ValueError(
            f"sample_rate is above 0 Hz, pooling one of {list(POOLINGS)} and "
            f"batch_size at least 1; received sample_rate={sample_rate!r}, "
            f"pooling={pooling!r}, batch_size={batch_size!r}."
        )
    model = _module()
    model.backbone = backbone
    model.sample_rate = int(rate)
    model.pooling, model.batch_size = pooling, batch_size
    width = backbone.hidden_dim
    model.scene_embedding_size = pooled_width(pooling, width, backbone.grid)
    model.timestamp_embedding_size = width
    return model


def get_scene_embeddings(audio, model):
    """One embedding for each sound.

    Args:
        audio: `(n_sounds, n_samples)` floats in [-1, 1] at `model.sample_rate`, of
            TensorFlow, torch, JAX or numpy; any length.
        model: What `load_model` returned.

    Returns:
        float32 `(n_sounds, model.scene_embedding_size)`, of the library of `audio`
        (of torch on its device): the tokens pooled, over all windows of a long sound.

    Raises:
        ValueError: If the audio is of another shape or type, or holds NaN.

    Example:

    >>> keras_asit.presets.save(backbone, "preset")
    >>> model = load_model("preset")
    >>> get_scene_embeddings(np.zeros((3, 32000), "float32"), model).shape
    (3, 16)
    """
    waves, returned = _unpacked(audio)
    return returned(
        embed(
            model.backbone,
            waves,
            model.sample_rate,
            pooling=model.pooling,
            batch_size=model.batch_size,
        )
    )


def get_timestamp_embeddings(audio, model, hop_size=HOP_MS):
    """Embeddings at regular moments of each sound.

    The backbone gives one for each patch in time, 160 ms apart for patches of 16
    frames. For a shorter step the sound is embedded several times, each time begun a
    little later, and the results are interleaved: four times for steps of 40 ms.

    Args:
        audio: As of `get_scene_embeddings`.
        model: What `load_model` returned.
        hop_size: The longest step wanted between timestamps, in milliseconds. The
            step is the patch's, or the largest whole fraction of it that is no longer.
            None: the patch's, in a single pass.

    Returns:
        `(embeddings, timestamps)`, of the library of `audio`: float32
        `(n_sounds, n_timestamps, model.timestamp_embedding_size)`, and float64 (JAX
        may make it float32) `(n_sounds, n_timestamps)`, the centres of what was
        embedded in milliseconds, evenly spaced, from less than a step after the
        beginning to less than one before the end. Where a patch reaches beyond the
        sound, it sees silence.

    Raises:
        ValueError: If the audio is of another shape or type, or holds NaN, or the
            step is shorter than a sample.

    Example:

    >>> keras_asit.presets.save(backbone, "preset")
    >>> model = load_model("preset")
    >>> audio = np.zeros((3, 32000), "float32")
    >>> embeddings, timestamps = get_timestamp_embeddings(audio, model)
    >>> embeddings.shape, timestamps[0, :3].tolist()
    ((3, 25, 16), [7.5, 47.5, 87.5])
    """
    waves, returned = _unpacked(audio)
    frontend = model.backbone.frontend
    span = frontend.samples(model.backbone.patch_size)
    step = frontend.samples(model.backbone.patch_size + 1) - frontend.samples(1)
    hop = step // _passes(step, hop_size, frontend.sample_rate)
    # Silence in front, whole hops of it, so that the first centre is within a hop.
    lead = int(span / 2) // hop * hop
    passes = [
        _embedded_from((start - lead) / frontend.sample_rate, waves, model)
        for start in range(0, step, hop)
    ]
    embeddings = np.concatenate([embeddings for embeddings, _ in passes], axis=1)
    seconds = np.concatenate([centres for _, centres in passes])
    order = np.argsort(seconds)
    # A sound may be too short for a single centre to lie inside.
    number = np.sum(seconds < waves.shape[1] / model.sample_rate)
    kept = order[: max(1, number)]
    timestamps = np.tile((1000 * seconds[kept]).round(6), (len(embeddings), 1))
    return returned(embeddings[:, kept]), returned(timestamps)


def _rate_for(backbone):
    """The rate of HEAR's from which nothing is lost for a backbone."""
    own = backbone.frontend.sample_rate
    return next((rate for rate in RATES if rate >= own), RATES[-1])


def _module():
    """An empty module of the library that is at hand: what HEAR takes for a model."""
    if keras.backend.backend() == "tensorflow":
        kind = importlib.import_module("tensorflow").Module
    else:
        try:
            kind = importlib.import_module("torch").nn.Module
        except ImportError:
            kind = object
    return type("HearModel", (kind,), {})()


def _unpacked(audio):
    """Audio as numpy, and the function that gives arrays back as the audio came.

    Raises:
        ValueError: If the audio is not `(n_sounds, n_samples)`.
    """
    library = type(audio).__module__.partition(".")[0]
    if library == "torch":
        torch, device = importlib.import_module("torch"), audio.device
        audio = audio.detach().cpu()
        waves = (audio.float() if audio.is_floating_point() else audio).numpy()

        def returned(array):
            return torch.from_numpy(np.ascontiguousarray(array)).to(device)
    elif library == "tensorflow":
        returned = importlib.import_module("tensorflow").convert_to_tensor
        waves = np.asarray(audio)
    elif library.startswith("jax"):
        returned = importlib.import_module("jax.numpy").asarray
        waves = np.asarray(audio)
    else:
        returned, waves = np.asarray, np.asarray(audio)
    if waves.ndim != 2 or 0 in waves.shape:
        raise ValueError(
            "audio is (n_sounds, n_samples), at least one of each; received the shape "
            f"{waves.shape}."
        )
    return waves, returned


def _passes(step, hop_size, rate):
    """The fewest passes whose interleaved steps are no longer than a hop.

    Args:
        step: Samples from one patch to the next; the passes divide it.
        hop_size: Milliseconds, or None.
        rate: Of the samples, in Hz.
    """
    if hop_size is None:
        return 1
    longest = hop_size * rate / 1000
    if not longest >= 1:
        raise ValueError(
            f"hop_size is at least one sample, {1000 / rate:g} ms, or None; received "
            f"{hop_size!r}."
        )
    return next(n for n in range(1, step + 1) if step % n == 0 and step / n <= longest)


def _embedded_from(second, waves, model):
    """Embeddings `(n, T, D)` of waves from a second on, and their centres in seconds.

    Before the waves, and where they have ended, is silence.
    """
    start = round(second * model.sample_rate)
    waves = np.pad(waves, ((0, 0), (max(0, -start), 0)))[:, max(0, start) :]
    if not waves.shape[1]:
        return np.zeros((len(waves), 0, model.timestamp_embedding_size), "float32"), []
    embeddings, centres = embed(
        model.backbone,
        waves,
        model.sample_rate,
        level="frame",
        batch_size=model.batch_size,
    )
    return embeddings, centres + second
