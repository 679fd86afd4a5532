"""Waveforms to Kaldi-compatible log-mel filterbanks."""

import math
import types

import keras
import numpy as np

PREEMPHASIS = 0.97
FLOOR = float(np.finfo("float32").eps)  # of the mel energies, before the log
# Of the log-mel of AudioSet at 32 kHz: the default of the backbone and the datasets.
AUDIOSET_MEAN, AUDIOSET_STD = -4.2677393, 4.5689974


@keras.saving.register_keras_serializable("keras_asit")
class LogMelFilterbank(keras.layers.Layer):
    """Kaldi-compatible log-mel filterbank of waveforms (section 1).

    The mean of the waveform is removed; each frame loses its own mean, is
    pre-emphasised by 0.97 and weighted with a symmetric Hanning window; the
    natural logarithm of its mel energies, floored at float32 epsilon, is the
    output. A frame lies wholly inside the waveform (Kaldi's `snip_edges`).

    The layer runs eagerly, in a model and in `tf.data` (also while Keras runs on
    another backend: TensorFlow tensors in, TensorFlow tensors out), in float32
    whatever the dtype policy says. Where mel bins are narrower than FFT bins
    (128 at 16 kHz), some of the lowest hold none of them and stay at the floor.

    Args:
        sample_rate: Rate of the waveforms, in Hz.
        num_mel_bins: Number of mel bins, F.
        frame_length_ms: Length of a frame, in milliseconds.
        frame_shift_ms: Step from a frame to the next, in milliseconds.
        low_freq: Lower edge of the first mel bin, in Hz.
        high_freq: Upper edge of the last mel bin, in Hz. None: half the rate.
        num_frames: Cut or zero-pad the log-mel to this many frames, before the
            normalisation. None keeps all frames.
        mean: Mean of the log-mel over a data set; given together with `std`,
            the output is `(x - mean) / (2 * std)`. None: no normalisation.
        std: Standard deviation of the log-mel over a data set.

    Input shape:
        Floats `[S]`, `[B, S]` or `[..., S]`: S samples in [-1, 1].

    Output shape:
        float32 `[T, F]`, `[B, T, F]` or `[..., T, F]`: T frames, natural
        logarithm of energies, normalised where `mean` and `std` are given.

    Raises:
        ValueError: If an argument is out of range, or a waveform is not of
            floats or shorter than one frame. (Where S is unknown when the graph
            is made, as in `tf.data`, a shorter one gives no frames instead.)

    Example:

    >>> import numpy as np, keras_asit
    >>> fbank = keras_asit.audio.LogMelFilterbank(num_frames=592)
    >>> crop = np.random.default_rng(0).uniform(-1, 1, 6 * 32000).astype("float32")
    >>> tuple(fbank(crop).shape)
    (592, 128)
    >>> fbank.frames(6 * 32000)
    598

    Reference:
        `torchaudio.compliance.kaldi.fbank` and `kaldi_native_fbank` with
        samples in [-1, 1], `window_type="hanning"` and `dither=0`.
    """

    def __init__(
        self,
        sample_rate=32000,
        num_mel_bins=128,
        frame_length_ms=25.0,
        frame_shift_ms=10.0,
        low_freq=20.0,
        high_freq=None,
        num_frames=None,
        mean=None,
        std=None,
        **kwargs,
    ):
        kwargs.update(dtype="float32", autocast=False)
        super().__init__(**kwargs)
        self.sample_rate = sample_rate
        self.num_mel_bins = num_mel_bins
        self.frame_length_ms = frame_length_ms
        self.frame_shift_ms = frame_shift_ms
        self.low_freq = low_freq
        self.high_freq = high_freq
        self.num_frames = num_frames
        self.mean = mean
        self.std = std
        self._check_arguments()

        self._frame_length = int(sample_rate * frame_length_ms / 1000)
        self._frame_shift = int(sample_rate * frame_shift_ms / 1000)
        self._fft_length = 1 << (self._frame_length - 1).bit_length()
        self._window = np.hanning(self._frame_length).astype("float32")
        high = sample_rate / 2 if high_freq is None else high_freq
        self._mel_weights = mel_weights(
            num_mel_bins, self._fft_length, sample_rate, low_freq, high
        )

    def _check_arguments(self):
        def require(condition, name, expected):
            if not condition:
                raise ValueError(
                    f"`{name}` must be {expected}. "
                    f"Received: {name}={getattr(self, name)}"
                )

        nyquist = self.sample_rate / 2
        require(self.sample_rate > 0, "sample_rate", "more than 0 Hz")
        require(self.num_mel_bins >= 1, "num_mel_bins", "1 or more")
        for name in ("frame_length_ms", "frame_shift_ms"):
            fits = self.sample_rate * getattr(self, name) / 1000 >= 2
            require(fits, name, f"2 samples or more at {self.sample_rate} Hz")
        high = nyquist if self.high_freq is None else self.high_freq
        require(high <= nyquist, "high_freq", f"at most half the rate, {nyquist:g} Hz")
        low = self.low_freq
        require(0 <= low < high, "low_freq", f"0 or more and below {high:g} Hz")
        frames = self.num_frames
        require(frames is None or frames >= 1, "num_frames", "1 or more, or None")
        if (self.mean is None) != (self.std is None):
            raise ValueError(
                "`mean` and `std` must be given together, or neither. "
                f"Received: mean={self.mean}, std={self.std}"
            )
        require(self.std is None or self.std > 0, "std", "more than 0")

    def frames(self, num_samples):
        """Number of frames in `num_samples` samples, before any cut or padding."""
        steps = (num_samples - self._frame_length) // self._frame_shift
        return max(0, 1 + steps)

    def samples(self, num_frames):
        """Number of samples that `num_frames` frames need."""
        return self._frame_length + (num_frames - 1) * self._frame_shift

    def __call__(self, waveform, **kwargs):
        # Keras would turn a tensor of `tf.data` into one of its own backend.
        from_tensorflow = type(waveform).__module__.startswith("tensorflow")
        if from_tensorflow and keras.backend.backend() != "tensorflow":
            return self._log_mel(waveform, _tensorflow_ops())
        return super().__call__(waveform, **kwargs)

    def call(self, waveform):
        return self._log_mel(waveform, keras.ops)

    def _log_mel(self, waveform, ops):
        """The whole computation, in the functions of `ops`."""
        waveform = self._checked(waveform, ops)
        *leading, samples = ops.shape(waveform)
        waveform = ops.reshape(waveform, (-1, samples))  # [N, S]
        frames = self._frames_to_compute(samples, ops)
        energies = self._mel_energies(self._framed(waveform, frames, ops), ops)
        log_mel = self._cut_or_padded(ops.log(ops.maximum(energies, FLOOR)), ops)
        if self.mean is not None:
            log_mel = (log_mel - self.mean) * (0.5 / self.std)
        return ops.reshape(log_mel, (*leading, *ops.shape(log_mel)[1:]))

    def _checked(self, waveform, ops):
        dtype = keras.backend.standardize_dtype(waveform.dtype)
        if "float" not in dtype:
            raise ValueError(
                "Expected a waveform of floats in [-1, 1]. Received: "
                f"dtype={dtype}. Divide 16-bit integers by 32768."
            )
        self.compute_output_shape(waveform.shape)  # raises where it is too short
        return ops.cast(waveform, "float32")

    def _frames_to_compute(self, samples, ops):
        if isinstance(samples, int):
            return min(self.frames(samples), self.num_frames or samples)
        steps = (samples - self._frame_length) // self._frame_shift
        frames = ops.maximum(1 + steps, 0)
        return ops.minimum(frames, self.num_frames) if self.num_frames else frames

    def _framed(self, waveform, frames, ops):
        """Windowed frames `[N, T, frame length]` of waveforms `[N, S]`.

        Pre-emphasis P is linear and P applied to a constant m is 0.03 m, so
        w * P(x - m) = w * (P(x) - 0.03 m): the whole waveform is emphasised
        once instead of each frame. Kaldi's special first sample of a frame does
        not matter, because a symmetric Hanning window begins with 0.
        """
        rows = math.ceil(self._frame_length / self._frame_shift)
        needed = (frames + rows - 1) * self._frame_shift  # whole rows of a shift
        waveform = waveform - ops.mean(waveform, axis=-1, keepdims=True)
        padded = ops.pad(waveform, ((0, 0), (1, rows * self._frame_shift)))
        waveform = padded[:, 1 : needed + 1]
        emphasised = waveform - PREEMPHASIS * padded[:, :needed]

        in_rows = (-1, frames + rows - 1, self._frame_shift)
        mean = self._frame_means(ops.reshape(waveform, in_rows), frames, ops)
        pieces = self._pieces(ops.reshape(emphasised, in_rows), frames)
        framed = ops.concatenate(pieces, axis=-1) - (1.0 - PREEMPHASIS) * mean
        return ops.multiply(framed, self._window)

    def _pieces(self, rows, frames):
        """Slices of rows `[N, R, shift]` that lie side by side in a frame."""
        length, shift = self._frame_length, self._frame_shift
        return [
            rows[:, row : row + frames, : length - row * shift]
            for row in range(math.ceil(length / shift))
        ]

    def _frame_means(self, rows, frames, ops):
        """Means `[N, T, 1]` of the frames in rows `[N, R, shift]`."""
        pieces = self._pieces(rows, frames)
        sums = [ops.sum(piece, axis=-1, keepdims=True) for piece in pieces]
        return sum(sums) / self._frame_length

    def _mel_energies(self, framed, ops):
        real, imaginary = ops.rfft(framed, fft_length=self._fft_length)
        power = ops.square(real) + ops.square(imaginary)  # [N, T, FFT bins]
        return ops.matmul(power, self._mel_weights)

    def _cut_or_padded(self, log_mel, ops):
        if self.num_frames in (None, log_mel.shape[1]):
            return log_mel
        padded = ops.pad(log_mel, ((0, 0), (0, self.num_frames), (0, 0)))
        return padded[:, : self.num_frames]

    def compute_output_shape(self, input_shape):
        if len(input_shape) == 0:
            raise ValueError("Expected a waveform [..., S]. Received: a scalar.")
        *leading, samples = input_shape
        if samples is not None and samples < self._frame_length:
            raise ValueError(
                f"Expected a waveform of at least one frame, {self._frame_length} "
                f"samples ({self.frame_length_ms:g} ms at {self.sample_rate} Hz). "
                f"Received: shape {tuple(input_shape)}. Pad it or leave it out."
            )
        frames = self.num_frames
        if frames is None and samples is not None:
            frames = self.frames(samples)
        return (*leading, frames, self.num_mel_bins)

    def get_config(self):
        return {
            **super().get_config(),
            "sample_rate": self.sample_rate,
            "num_mel_bins": self.num_mel_bins,
            "frame_length_ms": self.frame_length_ms,
            "frame_shift_ms": self.frame_shift_ms,
            "low_freq": self.low_freq,
            "high_freq": self.high_freq,
            "num_frames": self.num_frames,
            "mean": self.mean,
            "std": self.std,
        }


def mel_weights(num_mel_bins, fft_length, sample_rate, low_freq, high_freq):
    """Kaldi's mel triangles, float32 `[fft_length // 2 + 1, num_mel_bins]`.

    The triangles are linear in mel, not in Hz; the Nyquist bin weighs nothing.
    """

    def mel(hertz):
        return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)

    edges = np.linspace(mel(low_freq), mel(high_freq), num_mel_bins + 2)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    bins = mel(np.arange(fft_length // 2 + 1) * sample_rate / fft_length)[:, None]
    rising = (bins - left) / (centre - left)
    falling = (right - bins) / (right - centre)
    weights = np.maximum(0.0, np.minimum(rising, falling))
    weights[-1] = 0.0
    return weights.astype("float32")


def _tensorflow_ops():
    """The functions of `keras.ops` used here, on TensorFlow tensors."""
    import tensorflow as tf

    def shape(x):
        return tuple(tf.shape(x)[i] if n is None else n for i, n in enumerate(x.shape))

    def rfft(x, fft_length):
        spectrum = tf.signal.rfft(x, [fft_length])
        return tf.math.real(spectrum), tf.math.imag(spectrum)

    return types.SimpleNamespace(
        cast=tf.cast,
        concatenate=tf.concat,
        log=tf.math.log,
        matmul=tf.matmul,
        maximum=tf.maximum,
        mean=tf.reduce_mean,
        minimum=tf.minimum,
        multiply=tf.multiply,
        pad=tf.pad,
        reshape=tf.reshape,
        rfft=rfft,
        shape=shape,
        square=tf.square,
        sum=tf.reduce_sum,
    )
