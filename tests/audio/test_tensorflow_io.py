import functools
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from keras_asit import audio
from keras_asit.audio import tensorflow_io

pytestmark = pytest.mark.backend_free

RATE = 16000
EVERY_FORMAT = ["a.wav", "a.flac", "a.ogg", "a.mp3"]
TOLERANCE = 3e-6


@pytest.fixture(scope="module")
def tf():
    """TensorFlow, where tensorflow-io works with it."""
    tensorflow = pytest.importorskip("tensorflow", reason="needs TensorFlow")
    try:
        tensorflow_io.check_tensorflow_io()
    except ImportError:
        pytest.skip("needs tensorflow-io: make test-tensorflow-io")
    return tensorflow


def sound(seconds=1.3, channels=1, rate=RATE):
    """Tones and noise, with digital silence between."""
    time = np.arange(round(seconds * rate)) / rate
    tones = [0.3 * np.sin(2 * np.pi * 300 * (c + 1) * time) for c in range(channels)]
    samples = np.stack(tones, axis=1)
    samples += 0.1 * np.random.default_rng(0).normal(size=samples.shape)
    samples[len(time) // 6 : len(time) // 2] = 0
    return samples


@pytest.fixture
def write(tmp_path):
    """Writes samples or bytes to a file of that name and returns its path as a text."""

    def write(name, content, rate=RATE, **options):
        path = tmp_path / name
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            soundfile.write(path, content, rate, **options)
        return str(path)

    return write


def every(tf, function, paths, sample_rate=RATE, rates=(RATE,), **options):
    """What `decode` or `read` makes of each file: pairs of waveform and reason."""
    load = functools.partial(function, sample_rate=sample_rate, rates=rates, **options)
    clips = tf.data.Dataset.from_tensor_slices(paths).map(load, num_parallel_calls=2)
    return [(wave.numpy(), reason.numpy().decode()) for wave, reason in clips]


def check_decoded(tf, paths, tolerance=TOLERANCE, sample_rate=RATE, **options):
    """Each file gives what `audio.read` gives, without Python."""
    part = {key: options[key] for key in ("start", "duration") if key in options}
    decoded = every(tf, tensorflow_io.decode, paths, sample_rate, **options)
    for path, (waveform, reason) in zip(paths, decoded):
        expected, _ = audio.read(path, sample_rate, **part)
        assert reason == "", path
        assert waveform.shape == expected.shape, path
        np.testing.assert_allclose(waveform, expected, 0, tolerance, err_msg=path)


def check_read(tf, paths, tolerance=TOLERANCE):
    """Each file gives what `audio.read` gives, or its reason."""
    for path, (wave, reason) in zip(paths, every(tf, tensorflow_io.read, paths)):
        try:
            expected, why = audio.read(path, RATE)[0], ""
        except audio.AudioError as error:
            expected, why = np.zeros(0, "float32"), error.reason
        assert reason == why, path
        assert wave.shape == expected.shape, path
        np.testing.assert_allclose(wave, expected, 0, tolerance, err_msg=path)


def test_same_bits(tf, write):
    wav = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
    flac = ("PCM_S8", "PCM_16", "PCM_24")
    kinds = [*[(k, "wav") for k in wav], *[(k, "flac") for k in flac]]
    paths = [
        write(f"{kind}-{channels}.{format}", sound(channels=channels), subtype=kind)
        for kind, format in kinds
        for channels in (1, 2, 3)
    ]
    check_decoded(tf, paths, tolerance=0)


def test_same_samples_at_another_rate(tf, write):
    rates = (8000, 16000, 22050, 44100, 48000)
    paths = [
        write(f"{rate}-{channels}-{name}", sound(0.6, channels, rate), rate)
        for rate in rates
        for channels in (1, 2)
        for name in EVERY_FORMAT
    ]
    check_decoded(tf, paths, sample_rate=32000, rates=rates)


@pytest.mark.parametrize(
    ("start", "duration"), [(0.0, 0.3), (0.71235, 0.25), (1.2, 9.0), (0.6, None)]
)
def test_same_part(tf, write, start, duration):
    paths = [write(name, sound()) for name in EVERY_FORMAT]
    check_decoded(tf, paths, sample_rate=32000, start=start, duration=duration)


def test_part_may_be_drawn_in_the_graph(tf, write):
    path = write("a.wav", sound())

    def part(start):
        return tensorflow_io.decode(path, RATE, start, duration=0.25, rates=(RATE,))

    starts = tf.data.Dataset.from_tensor_slices([0.0, 0.5])
    first, second = [waveform.numpy() for waveform, _ in starts.map(part)]
    whole, _ = audio.read(path)
    np.testing.assert_array_equal(first, whole[:4000])
    np.testing.assert_array_equal(second, whole[8000:12000])


def test_seconds_are_exact_to_the_sample(tf, write):
    """As float32 the start would be one sample earlier."""
    rate = 192_000
    values = np.random.default_rng(0).integers(-99, 99, 60 * rate, dtype="int8")
    path = write("a.wav", (values / 128).astype("float32"), rate, subtype="PCM_U8")
    start = 59.1234567
    part, _ = tensorflow_io.decode(path, rate, start, duration=0.1, rates=(rate,))
    expected, _ = audio.read(path, start=start, duration=0.1)
    np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize("function", [tensorflow_io.decode, tensorflow_io.read])
def test_files_decoded_eagerly(tf, write, function):
    for name in EVERY_FORMAT:
        path = write(name, sound())
        waveform, reason = function(tf.constant(path), RATE, start=0.25)
        assert reason == b""
        expected, _ = audio.read(path, start=0.25)
        np.testing.assert_allclose(waveform, expected, 0, TOLERANCE)


def test_reasons(tf, write, tmp_path):
    reasons = {
        write("nan.wav", np.array([0, np.nan]), subtype="FLOAT"): "holds NaN",
        write("loud.wav", np.array([0, 32767.0]), subtype="FLOAT"): "reach 32767, exp",
        write("rate.wav", sound(0.1), 12345): "has 12345 Hz. Name its rate among",
        write("short.wav", sound(0.1)): "ends at 0.1 s, before the start.",
        write("none.wav", np.zeros(0)): "cannot be decoded by tensorflow-io",
        write("empty.wav", b""): "cannot be decoded by tensorflow-io",
        str(tmp_path / "missing.wav"): "it is missing",
        str(tmp_path): "cannot be decoded by tensorflow-io",
    }
    found = every(tf, tensorflow_io.decode, list(reasons), start=0.5)
    for (waveform, reason), expected in zip(found, reasons.values()):
        assert expected in reason
        assert waveform.shape == (0,)


def with_flac_samples(data, samples):
    total = ((data[21] >> 4) << 36 | samples).to_bytes(5, "big")
    return data[:21] + total + data[26:]


def damaged(name, data):
    """Files made of a sound one by some damage, by a name."""
    half = len(data) // 2
    flipped = data[:half] + bytes([data[half] ^ 16]) + data[half + 1 :]
    files = {"cut": data[:half], "flip": flipped, "twice": data + data[:half]}
    files |= {"head": data[:8], "zeros": data[:half] + bytes(len(data) - half)}
    third = len(data) // 3
    files["hole"] = data[:third] + bytes(1500) + data[third + 1500 :]
    if name == "a.wav":  # with these the op of tensorflow-io crashes, or never ends
        files["no_block"] = data[:32] + b"\0\0" + data[34:]
        files["wide_block"] = data[:32] + b"\x40\0" + data[34:]
        files["negative"] = data[:40] + b"\xf8\xff\xff\xff" + data[44:]
    if name == "a.flac":  # the first never ends, the last asks for 128 GiB
        files["one_more"] = with_flac_samples(data, 20801)
        files["stream"] = with_flac_samples(data, 0)
        files["gigabytes"] = with_flac_samples(data, 2**36 - 1)
    if name == "a.ogg":  # between two pages
        files["no_end"] = data[: data.rfind(b"OggS")]
        files["chained"] = data + data
    if name == "a.mp3":  # nothing protects its sound: two decoders guess differently
        del files["flip"]
    return {f"{kind}-{name}": content for kind, content in files.items()}


@pytest.mark.parametrize("name", EVERY_FORMAT)
def test_damaged_files(tf, write, name):
    """No crash and no hang; the samples or the reason that soundfile gives."""
    data = Path(write(name, sound())).read_bytes()
    check_read(tf, [write(n, content) for n, content in damaged(name, data).items()])


def test_damaged_frame_of_flac_is_found_beside_silence(tf, write):
    """libFLAC decodes it as zeros, which silence is as well, without an error."""
    path = write("a.flac", sound())
    data = Path(path).read_bytes()
    at = len(data) * 9 // 10
    flipped = write("b.flac", data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    (_, reason), (_, other) = every(tf, tensorflow_io.decode, [path, flipped])
    assert reason == ""
    assert "damaged" in other


def test_random_damage(tf, write):
    """What is accepted inside the graph, soundfile decodes to the same samples."""
    rng = np.random.default_rng(0)
    paths = []
    for name in EVERY_FORMAT[:3]:  # nothing protects the sound of an mp3
        data = Path(write(name, sound(0.4, channels=2))).read_bytes()
        for number in range(40):
            content = bytearray(data)
            at = rng.integers(4, rng.choice([64, len(data)]), size=2)
            content[at[0]] = rng.integers(256)
            del content[at[1] : at[1] + rng.choice([0, 0, 0, 1, 500])]
            paths.append(write(f"{number}-{name}", bytes(content)))
    accepted = 0
    for path, (waveform, reason) in zip(paths, every(tf, tensorflow_io.decode, paths)):
        if not reason:
            expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
            np.testing.assert_allclose(
                waveform,
                np.clip(expected.mean(axis=1), -1, 1),
                0,
                TOLERANCE,
                err_msg=path,
            )
            accepted += 1
    assert 5 < accepted < 110


def test_other_files_go_to_soundfile(tf, write, tmp_path):
    paths = [
        write("empty.wav", b""),
        write("text.mp3", b"not a sound " * 100),
        write("page.flac", b"<html>" + bytes(1000)),
        write("zip.ogg", b"PK\x03\x04" + bytes(1000)),
        write("sound.aiff", sound()),
        write("other_rate.wav", sound(), 12345),
        str(tmp_path / "missing.wav"),
        str(tmp_path),
    ]
    check_read(tf, paths, tolerance=0)


def test_broken_files_do_not_end_a_pipeline(tf, write):
    data = Path(write("good.flac", sound())).read_bytes()
    good, cut = write("good.flac", data), write("cut.flac", data[:9000])
    paths = [good, cut, "nowhere.flac", good] * 5
    reasons = [reason for _, reason in every(tf, tensorflow_io.decode, paths)]
    assert [bool(reason) for reason in reasons] == [False, True, True, False] * 5


def test_saved_graph_asks_no_python(tf, write, tmp_path):
    decode = functools.partial(tensorflow_io.decode, sample_rate=RATE, rates=(RATE,))
    module = tf.Module()
    module.decode = tf.function(decode, input_signature=[tf.TensorSpec([], tf.string)])
    graph = module.decode.get_concrete_function().graph.as_graph_def()
    operations = {node.op for f in graph.library.function for node in f.node_def}
    assert "IO>AudioDecodeFlac" in operations
    assert not [name for name in operations if "PyFunc" in name]
    tf.saved_model.save(module, str(tmp_path / "saved"))
    path = write("a.ogg", sound())
    waveform, reason = tf.saved_model.load(str(tmp_path / "saved")).decode(path)
    assert reason == b""
    np.testing.assert_allclose(waveform, audio.read(path)[0], 0, TOLERANCE)


def test_tf_data_service(tf, write):
    service = tf.data.experimental.service
    dispatcher = service.DispatchServer()
    address = dispatcher.target.split("//")[1]
    worker = service.WorkerServer(service.WorkerConfig(dispatcher_address=address))
    path = write("a.flac", sound())
    paths = tf.data.Dataset.from_tensor_slices([path] * 3)
    clips = paths.map(
        functools.partial(tensorflow_io.decode, sample_rate=RATE, rates=(RATE,))
    )
    clips = clips.apply(service.distribute("parallel_epochs", dispatcher.target))
    clips = [(waveform.numpy(), reason.numpy()) for waveform, reason in clips]
    worker.stop()
    assert len(clips) == 3
    for waveform, reason in clips:
        assert reason == b""
        np.testing.assert_array_equal(waveform, audio.read(path)[0])


@pytest.mark.parametrize("sample_rate", [16000, 32000])
def test_real_recordings(tf, data_root, sample_rate):
    paths = []
    for folder in ("esc10", "librispeech_small", "fsdd"):
        files = sorted(map(str, (data_root / folder).rglob("*.*")))
        files = [path for path in files if path.endswith((".flac", ".ogg"))]
        paths += files[:: len(files) // 5]
    rates = (8000, 16000, 44100)
    check_decoded(tf, paths, sample_rate=sample_rate, rates=rates)


@pytest.mark.parametrize(
    ("version", "found"),
    [
        ("2.17.1", r"Found: TensorFlow 2\.17\.1 without it\."),
        ("2.21.0", r"Found: TensorFlow 2\.21\.0, in which its operations are"),
    ],
)
def test_import_error_says_what_to_install(monkeypatch, version, found):
    tensorflow = pytest.importorskip("tensorflow", reason="needs TensorFlow")
    monkeypatch.setattr(tensorflow, "__version__", version)
    monkeypatch.setitem(sys.modules, "tensorflow_io", None)
    tensorflow_io.check_tensorflow_io.cache_clear()
    with pytest.raises(ImportError, match=found) as caught:
        tensorflow_io.decode("a.wav", RATE)
    tensorflow_io.check_tensorflow_io.cache_clear()
    install = "-c constraints-tensorflow-io.txt 'keras-asit[tensorflow-io]'"
    assert install in str(caught.value)
