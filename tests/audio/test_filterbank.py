import keras
import numpy as np
import pytest

from keras_asit.audio import LogMelFilterbank, read
from layer_checks import check_config, check_layer

FLOOR = np.log(np.finfo("float32").eps)
SMALL = {"sample_rate": 8000, "num_mel_bins": 10}


def noise(samples, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, samples).astype("float32")


def fbank_of(layer, waveform):
    return keras.ops.convert_to_numpy(layer(waveform))


def kaldi_fbank(waveform, sample_rate, num_mel_bins):
    """The oracle: kaldi-native-fbank with the options of section 1."""
    kaldi = pytest.importorskip("kaldi_native_fbank")
    options = kaldi.FbankOptions()
    options.frame_opts.samp_freq = sample_rate
    options.frame_opts.dither = 0.0
    options.frame_opts.window_type = "hanning"
    options.mel_opts.num_bins = num_mel_bins
    options.mel_opts.low_freq = 20.0
    options.mel_opts.high_freq = sample_rate / 2
    options.use_energy = False
    fbank = kaldi.OnlineFbank(options)
    fbank.accept_waveform(sample_rate, (waveform - waveform.mean()).tolist())
    fbank.input_finished()
    return np.stack([fbank.get_frame(i) for i in range(fbank.num_frames_ready)])


def check_against_kaldi(waveform, sample_rate):
    # With 128 bins at 16 kHz some bins hold no FFT bin, which kaldi refuses.
    bins = 128 if sample_rate >= 32000 else 80
    layer = LogMelFilterbank(sample_rate=sample_rate, num_mel_bins=bins)
    fbank = fbank_of(layer, waveform)
    expected = kaldi_fbank(waveform, sample_rate, bins)
    assert fbank.shape == expected.shape
    difference = np.abs(fbank - expected)
    print(f"mean |difference| {difference.mean():.1e}, largest {difference.max():.1e}")
    assert difference.mean() <= 1e-4
    assert difference[expected > FLOOR + 1e-3].max(initial=0.0) <= 2e-2


def frame_by_hand(frame, sample_rate, num_mel_bins, low_freq=20.0):
    """Section 1 for one frame, step by step, in float64."""
    frame = frame.astype("float64") - frame.mean(dtype="float64")
    emphasised = frame.copy()
    for i in range(len(frame)):
        emphasised[i] = frame[i] - 0.97 * frame[max(i - 1, 0)]
    i = np.arange(len(frame))
    window = 0.5 - 0.5 * np.cos(2 * np.pi * i / (len(frame) - 1))
    fft_length = 2 ** int(np.ceil(np.log2(len(frame))))
    power = np.abs(np.fft.fft(emphasised * window, fft_length)) ** 2
    edges = np.linspace(
        1127 * np.log(1 + low_freq / 700),
        1127 * np.log(1 + sample_rate / 2 / 700),
        num_mel_bins + 2,
    )
    energies = np.zeros(num_mel_bins)
    for m in range(num_mel_bins):
        for k in range(fft_length // 2):  # the Nyquist bin is left out
            mel = 1127 * np.log(1 + k * sample_rate / fft_length / 700)
            if edges[m] < mel < edges[m + 2]:
                up = (mel - edges[m]) / (edges[m + 1] - edges[m])
                down = (edges[m + 2] - mel) / (edges[m + 2] - edges[m + 1])
                energies[m] += min(up, down) * power[k]
    return np.log(np.maximum(energies, np.finfo("float32").eps))


@pytest.mark.parametrize(
    ("sample_rate", "seconds"), [(16000, 1), (32000, 1), (44100, 1), (32000, 6)]
)
def test_noise_as_kaldi(sample_rate, seconds):
    check_against_kaldi(noise(seconds * sample_rate), sample_rate)


def test_noise_on_an_offset_as_kaldi():
    check_against_kaldi(noise(32000) * 0.1 + np.float32(0.5), 32000)


@pytest.mark.parametrize("sample_rate", [16000, 32000])
def test_silence_as_kaldi(sample_rate):
    silence = np.zeros(sample_rate, "float32")
    check_against_kaldi(silence, sample_rate)
    layer = LogMelFilterbank(sample_rate=sample_rate)
    np.testing.assert_allclose(fbank_of(layer, silence), FLOOR, atol=1e-5)


@pytest.mark.parametrize("sample_rate", [16000, 32000])
def test_speech_as_kaldi(data_root, sample_rate):
    speech = min((data_root / "librispeech_small").rglob("*.flac"))
    waveform, _ = read(speech, sample_rate=sample_rate, duration=6.0)
    check_against_kaldi(waveform, sample_rate)


@pytest.mark.parametrize(("sample_rate", "bins"), [(16000, 128), (32000, 128)])
def test_frame_by_hand(sample_rate, bins):
    layer = LogMelFilterbank(sample_rate=sample_rate, num_mel_bins=bins)
    waveform = noise(sample_rate // 10)
    waveform -= waveform.mean()
    start = 3 * sample_rate // 100
    frame = waveform[start : start + sample_rate // 40]
    expected = frame_by_hand(frame, sample_rate, bins)
    np.testing.assert_allclose(fbank_of(layer, waveform)[3], expected, atol=5e-3)


@pytest.mark.parametrize("shift_ms", [10.0, 12.5, 25.0, 30.0, 7.3])
def test_any_shift(shift_ms):
    layer = LogMelFilterbank(**SMALL, frame_shift_ms=shift_ms)
    waveform = noise(1000)
    waveform -= waveform.mean()
    fbank = fbank_of(layer, waveform)
    assert len(fbank) == layer.frames(1000)
    start = layer.samples(3) - layer.samples(1)
    expected = frame_by_hand(waveform[start : start + 200], 8000, 10)
    np.testing.assert_allclose(fbank[2], expected, atol=5e-3)


def test_frames_and_samples():
    layer = LogMelFilterbank()
    assert layer.frames(192000) == 598
    assert [layer.frames(n) for n in (0, 799, 800, 1119, 1120)] == [0, 0, 1, 1, 2]
    assert layer.samples(592) == 800 + 591 * 320
    assert layer.frames(layer.samples(592)) == 592
    assert layer.frames(layer.samples(592) - 1) == 591


def test_layer():
    check_layer(
        LogMelFilterbank,
        init_kwargs=SMALL,
        input_shape=(2, 1000),
        expected_output_shape=(2, 11, 10),
        output_dtype="float32",
    )


def test_config_of_every_argument():
    layer = LogMelFilterbank(16000, 64, 20.0, 5.0, 60.0, 7000.0, 100, -4.2, 4.5)
    check_config(layer)
    revived = LogMelFilterbank.from_config(layer.get_config())
    waveform = noise(16000)
    np.testing.assert_array_equal(
        fbank_of(layer, waveform), fbank_of(revived, waveform)
    )


def test_float32_under_a_mixed_policy():
    waveform = noise(1000)
    expected = fbank_of(LogMelFilterbank(**SMALL), waveform)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        inputs = keras.Input((1000,), dtype="float32")
        model = keras.Model(inputs, LogMelFilterbank(**SMALL)(inputs))
        fbank = model(waveform[None])[0]
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(fbank.dtype) == "float32"
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(fbank), expected)


def test_batch_is_its_clips():
    layer = LogMelFilterbank(**SMALL)
    batch = noise((2, 3, 1000))
    fbank = fbank_of(layer, batch)
    for i, j in np.ndindex(2, 3):
        expected = fbank_of(layer, batch[i, j])
        np.testing.assert_allclose(fbank[i, j], expected, atol=1e-4)


def test_model_of_any_length():
    inputs = keras.Input((None,))
    layer = LogMelFilterbank(**SMALL)
    model = keras.Model(inputs, layer(inputs))
    assert model.output_shape == (None, None, 10)
    for samples in (600, 1000):
        waveforms = noise((2, samples))
        fbank = model.predict(waveforms, verbose=0)
        np.testing.assert_allclose(fbank, fbank_of(layer, waveforms), atol=1e-3)


@pytest.mark.parametrize(
    ("num_frames", "known_length"),
    [(None, True), (None, False), (5, False), (20, False)],
)
def test_tf_data_on_any_backend(num_frames, known_length):
    tf = pytest.importorskip("tensorflow")
    layer = LogMelFilterbank(**SMALL, num_frames=num_frames, mean=-5.0, std=2.0)
    waveforms = noise((3, 1000))
    dataset = tf.data.Dataset.from_generator(
        lambda: iter(waveforms),
        output_signature=tf.TensorSpec([1000 if known_length else None]),
    )
    expected = fbank_of(layer, waveforms)
    for one in (dataset.map(layer).batch(3), dataset.batch(3).map(layer)):
        fbank = next(iter(one))
        assert isinstance(fbank, tf.Tensor)
        np.testing.assert_allclose(fbank.numpy(), expected, atol=1e-3)


def test_tf_data_keeps_short_clips_apart():
    tf = pytest.importorskip("tensorflow")
    dataset = tf.data.Dataset.from_generator(
        lambda: iter([noise(100)]), output_signature=tf.TensorSpec([None])
    )
    assert next(iter(dataset.map(LogMelFilterbank(**SMALL)))).shape == (0, 10)
    padded = dataset.map(LogMelFilterbank(**SMALL, num_frames=4))
    np.testing.assert_array_equal(next(iter(padded)).numpy(), np.zeros((4, 10)))


def test_compiled():
    layer = LogMelFilterbank(**SMALL)
    waveforms = noise((2, 1000))
    if keras.backend.backend() == "jax":
        import jax

        compiled = jax.jit(layer)
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        compiled = tf.function(layer, jit_compile=True)
    else:
        pytest.skip("compilation is that of TensorFlow and JAX")
    fbank = keras.ops.convert_to_numpy(compiled(waveforms))
    np.testing.assert_allclose(fbank, fbank_of(layer, waveforms), atol=1e-3)


def test_cut_pad_and_normalise():
    waveform = noise(1000)
    full = fbank_of(LogMelFilterbank(**SMALL), waveform)
    cut = fbank_of(LogMelFilterbank(**SMALL, num_frames=4), waveform)
    np.testing.assert_allclose(cut, full[:4], atol=1e-4)
    layer = LogMelFilterbank(**SMALL, num_frames=13, mean=-4.0, std=2.5)
    padded = fbank_of(layer, waveform)
    np.testing.assert_allclose(padded[:11], (full + 4.0) / 5.0, atol=1e-4)
    np.testing.assert_allclose(padded[11:], np.full((2, 10), 0.8), atol=1e-6)
    assert layer.compute_output_shape((2, 1000)) == (2, 13, 10)
    assert layer.compute_output_shape((None, None)) == (None, 13, 10)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sample_rate": 0}, "sample_rate"),
        ({"num_mel_bins": 0}, "num_mel_bins"),
        ({"frame_length_ms": 0.0}, "frame_length_ms"),
        ({"frame_shift_ms": 0.01}, "frame_shift_ms.*32000 Hz.*0.01"),
        ({"low_freq": -1.0}, "low_freq"),
        ({"low_freq": 9000.0, "high_freq": 8000.0}, "low_freq.*8000 Hz.*9000"),
        ({"low_freq": 20.0, "high_freq": 20.0}, "low_freq"),
        ({"high_freq": 16001.0}, "high_freq.*16000 Hz.*16001"),
        ({"num_frames": 0}, "num_frames"),
        ({"mean": -4.0}, "together.*mean=-4.0, std=None"),
        ({"std": 4.0}, "together"),
        ({"mean": -4.0, "std": 0.0}, "std.*more than 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        LogMelFilterbank(**arguments)


@pytest.mark.parametrize(
    ("waveform", "message"),
    [
        (np.zeros(799, "float32"), "800 samples.*\\(799,\\)"),
        (np.zeros((2, 0), "float32"), "at least one frame"),
        (np.zeros(1000, "int16"), "floats.*int16"),
        (np.float32(0.0), "scalar"),
    ],
)
def test_bad_waveforms(waveform, message):
    with pytest.raises(ValueError, match=message):
        LogMelFilterbank()(waveform)
