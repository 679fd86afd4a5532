"""Audio files decoded and resampled inside a TensorFlow graph, by tensorflow-io.

Optional: `keras_asit.audio.read` reads the same files, and more, everywhere. Here no
Python runs for a clip, so that its threads do not wait for each other and the graph
can be sent to other processes. tensorflow-io's last release, 0.37.1, works with
TensorFlow 2.16 and 2.17 only.
"""

import functools

from keras_asit.audio.errors import AudioError
from keras_asit.audio.files import MAX_PEAK
from keras_asit.audio.reading import read as read_with_soundfile
from keras_asit.audio.tf_formats import decode_file
from keras_asit.audio.tf_resampling import tf_resample

TENSORFLOW = ((2, 16), (2, 17))
RATES = (8000, 11025, 16000, 22050, 24000, 32000, 44100, 48000, 96000)  # Hz
NOT_DECODED = (
    "cannot be decoded by tensorflow-io: it is missing, damaged, or of a kind that "
    "only soundfile reads. keras_asit.audio.read tells which."
)


def decode(path, sample_rate, start=0.0, duration=None, rates=RATES):
    """Reads an audio file, or a part of it, with operations of TensorFlow alone.

    wav, flac, ogg vorbis and mp3, as `keras_asit.audio.read` gives them: the same
    bits from wav and flac of up to 7 channels at their own rate, otherwise samples
    that differ by at most 3e-6 where full scale is 1. The file is decoded whole,
    whatever the part.

    A file that cannot be read is no error of the graph, which would end an epoch, but
    a reason. Some good files have one too: opus, aiff, FLAC of 12 or 20 bits, an mp3
    that does not say its length, rates other than `rates`. `read` takes those.

    Made for `tf.data.Dataset.map`. The graph may be saved, or run by the workers of a
    tf.data service, where tensorflow_io is imported too.

    Args:
        path: The file's path, a string tensor.
        sample_rate: Rate to resample to, in Hz, an integer.
        start: Where to begin, in seconds; a number or a tensor.
        duration: How much to read, in seconds, less where the file ends before; a
            number or a tensor. None reads to the end.
        rates: Rates in Hz that files may have. Each has its filter in the graph.

    Returns:
        `(waveform, reason)`: float32 `[samples]` in [-1, 1], and `b""`; or no
        samples, and why the file cannot be read.

    Raises:
        ImportError: If tensorflow-io does not work here.
        ValueError: If there is no filter of sensible size between the rates.

    Example:
        load = functools.partial(decode, sample_rate=32000)
        clips = tf.data.Dataset.from_tensor_slices(paths).map(load)
    """
    check_tensorflow_io()
    import tensorflow as tf

    samples, rate, is_sound = decode_file(path)
    is_sound &= tf.size(samples) > 0
    mono = tf.reduce_mean(samples, axis=1)
    part = _resampled_part(mono, rate, sample_rate, start, duration, rates)
    reason = _reason(mono, rate, is_sound, part, rates)
    part = part[: tf.where(reason == b"", tf.size(part), 0)]
    return tf.ensure_shape(tf.clip_by_value(part, -1.0, 1.0), [None]), reason


def read(path, sample_rate, start=0.0, duration=None, rates=RATES):
    """Reads what `decode` does inside the graph, and the rest with soundfile.

    Every file gives what `keras_asit.audio.read` gives, or its reason. Only files
    that `decode` has a reason for call Python, from this process alone.

    Args and returns are those of `decode`.
    """
    import tensorflow as tf

    def with_soundfile():
        seconds = _exact(-1.0 if duration is None else duration)
        inputs = [path, sample_rate, _exact(start), seconds]
        types = [tf.float32, tf.string]
        waveform, reason = tf.numpy_function(_read_or_reason, inputs, types)
        return tf.ensure_shape(waveform, [None]), tf.ensure_shape(reason, [])

    waveform, reason = decode(path, sample_rate, start, duration, rates)
    return tf.cond(reason == b"", lambda: (waveform, reason), with_soundfile)


def _read_or_reason(path, sample_rate, start, duration):
    import numpy as np

    duration = None if duration < 0 else float(duration)
    try:
        waveform, _ = read_with_soundfile(
            path, int(sample_rate), float(start), duration
        )
    except AudioError as error:
        return np.zeros(0, "float32"), error.reason.encode()
    return waveform, b""


@functools.cache
def check_tensorflow_io():
    """Raises ImportError, with what to install, unless tensorflow-io works here."""
    import tensorflow as tf

    found = f"TensorFlow {tf.__version__}"
    try:
        if tuple(map(int, tf.__version__.split(".")[:2])) in TENSORFLOW:
            import tensorflow_io as tfio

            found += f" and tensorflow-io {tfio.__version__}, which do not fit"
            with tf.init_scope():
                tfio.audio.encode_wav(tf.zeros([1, 1], tf.int16), 8000)
            return
        found += ", in which its operations are undefined symbols"
    except ModuleNotFoundError:
        found += " without it"
    except NotImplementedError:  # its library cannot be loaded
        pass
    raise ImportError(
        "Decoding with tensorflow-io needs its release 0.37.1, with TensorFlow 2.16 or "
        f"2.17. Found: {found}. In an environment of its own: pip install -c "
        "constraints-tensorflow-io.txt 'keras-asit[tensorflow-io]'. Or decode with "
        "soundfile, the default."
    )


def _resampled_part(mono, rate, sample_rate, start, duration, rates):
    """A part of a waveform at another rate; nothing where its own is not in `rates`."""
    import tensorflow as tf

    first, count = _samples_of(start, sample_rate), None
    if duration is not None:
        count = tf.maximum(_samples_of(duration, sample_rate), 1)
    branches = [
        lambda r=known: tf_resample(mono, r, sample_rate, first, count)
        for known in rates
    ]
    branches += [lambda: tf.zeros([0])]  # of any other rate
    is_rate = [*[rate == known for known in rates], True]
    return tf.switch_case(tf.argmax(is_rate, output_type=tf.int32), branches)


def _reason(mono, rate, is_sound, part, rates):
    """Why there is no waveform, or `b""`."""
    import tensorflow as tf

    peak = tf.reduce_max(tf.abs(mono))
    seconds = tf.cast(tf.size(mono), tf.float64) / tf.cast(rate, tf.float64)
    number = functools.partial(tf.strings.as_string, shortest=True)
    hertz = tf.strings.as_string(rate)
    is_rate = tf.reduce_any([rate == known for known in rates])
    faults = [
        (~is_sound, [NOT_DECODED]),
        (~is_rate, ["has ", hertz, f" Hz. Name its rate among `rates`: {rates}."]),
        (
            ~tf.reduce_all(tf.math.is_finite(mono)),
            ["holds NaN or infinite samples. Write it again or leave it out."],
        ),
        (
            peak > MAX_PEAK,
            ["its float samples reach ", number(peak), ", expected [-1, 1]."],
        ),
        (
            tf.size(part) == 0,
            ["ends at ", number(seconds), " s, before the start. Start earlier."],
        ),
    ]
    reason = tf.constant(b"")
    for is_at_fault, text in reversed(faults):
        reason = tf.where(is_at_fault, tf.strings.join(text), reason)
    return reason


def _samples_of(seconds, sample_rate):
    import tensorflow as tf

    return tf.cast(tf.round(_exact(seconds) * sample_rate), tf.int64)


def _exact(seconds):
    """A number or a tensor as float64: a number by itself would become float32."""
    import tensorflow as tf

    return tf.cast(tf.convert_to_tensor(seconds, dtype_hint=tf.float64), tf.float64)
