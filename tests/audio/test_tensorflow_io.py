import functools
import sys

import numpy as np
import pytest
import soundfile

from keras_asit import audio
from keras_asit.audio import tensorflow_io

tf = pytest.importorskip("tensorflow", reason="tensorflow-io needs TensorFlow")
pytestmark = pytest.mark.backend_free

RATE = 16000
EVERY_FORMAT = ["a.wav", "a.flac", "a.ogg", "a.mp3"]


@pytest.fixture
def needs_tensorflow_io():
    try:
        tensorflow_io.check_tensorflow_io()
    except ImportError as error:
        pytest.skip(f"`make test-tensorflow-io` runs this. {error}")


in_graph = pytest.mark.usefixtures("needs_tensorflow_io")


def sound(seconds=1.3, channels=1, rate=RATE):
    """A tone and noise, with digital silence between."""
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


@functools.cache
def reader(function, **options):
    """`decode` or `read` as one graph for all files of a test, `path -> arrays`."""
    read = functools.partial(getattr(tensorflow_io, function), **options)
    return tf.function(read, input_signature=[tf.TensorSpec([], tf.string)])


def decode(path, sample_rate=RATE, **options):
    waveform, reason = reader("decode", sample_rate=sample_rate, **options)(path)
    return waveform.numpy(), reason.numpy().decode()


def read_both(path, sample_rate=RATE):
    """What both paths make of a file: waveform and reason, twice."""
    waveform, reason = reader("read", sample_rate=sample_rate)(path)
    try:
        expected, why = audio.read(path, sample_rate)[0], ""
    except audio.AudioError as error:
        expected, why = np.zeros(0, "float32"), error.reason
    return waveform.numpy(), reason.numpy().decode(), expected, why


@in_graph
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        ("a.wav", "PCM_U8"),
        ("a.wav", "PCM_16"),
        ("a.wav", "PCM_24"),
        ("a.wav", "PCM_32"),
        ("a.wav", "FLOAT"),
        ("a.flac", "PCM_S8"),
        ("a.flac", "PCM_16"),
        ("a.flac", "PCM_24"),
    ],
)
def test_same_bits(write, name, subtype, channels):
    path = write(name, sound(channels=channels), subtype=subtype)
    waveform, reason = decode(path)
    assert reason == ""
    np.testing.assert_array_equal(waveform, audio.read(path)[0])


@in_graph
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("name", EVERY_FORMAT)
def test_same_samples_at_another_rate(write, name, rate, channels):
    path = write(name, sound(channels=channels, rate=rate), rate)
    waveform, reason = decode(path, 32000)
    expected, _ = audio.read(path, 32000)
    assert reason == ""
    assert waveform.shape == expected.shape
    np.testing.assert_allclose(waveform, expected, atol=3e-6)


@in_graph
@pytest.mark.parametrize("name", EVERY_FORMAT)
@pytest.mark.parametrize(
    ("start", "duration"), [(0.0, 0.3), (0.71235, 0.25), (1.2, 9.0), (0.6, None)]
)
def test_same_part(write, name, start, duration):
    path = write(name, sound())
    waveform, reason = decode(path, 32000, start=start, duration=duration)
    expected, _ = audio.read(path, 32000, start=start, duration=duration)
    assert reason == ""
    assert waveform.shape == expected.shape
    np.testing.assert_allclose(waveform, expected, atol=3e-6)


@in_graph
def test_part_may_be_drawn_in_the_graph(write):
    path = write("a.wav", sound())

    def draw(start):
        return tensorflow_io.decode(path, RATE, start=start, duration=0.25)

    starts = tf.data.Dataset.from_tensor_slices([0.0, 0.5])
    parts = [waveform for waveform, _ in starts.map(draw)]
    whole = audio.read(path)[0]
    np.testing.assert_array_equal(parts[0], whole[:4000])
    np.testing.assert_array_equal(parts[1], whole[8000:12000])


@in_graph
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (np.array([0.0, np.nan, 0.0]), "holds NaN"),
        (np.array([0.0, 32767.0, 0.0]), r"samples reach 32767, expected \[-1, 1\]"),
        (np.zeros(0), "cannot be decoded by tensorflow-io"),
    ],
)
def test_reason(write, content, reason):
    path = write("a.wav", content, subtype="FLOAT")
    with pytest.raises(AssertionError, match=reason):
        waveform, found = decode(path)
        assert len(waveform) == 0
        assert not found, found


@in_graph
def test_reason_of_a_rate_and_of_a_start(write):
    assert "has 12345 Hz. Name its" in decode(write("b.wav", sound(), 12345))[1]
    late = decode(write("a.wav", sound(1.0)), start=2.0)[1]
    assert late == "ends at 1 s, before the start. Start earlier."


def with_flac_samples(data, samples):
    total = ((data[21] >> 4) << 36 | samples).to_bytes(5, "big")
    return data[:21] + total + data[26:]


def damaged(name, data):
    """Files made of a sound one by some damage, by a name."""
    half = len(data) // 2
    flipped = data[:half] + bytes([data[half] ^ 16]) + data[half + 1 :]
    files = {"cut": data[:half], "flip": flipped, "twice": data + data[:half]}
    files |= {"head": data[:8], "zeros": data[:half] + bytes(len(data) - half)}
    if name == "a.wav":  # with these the op of tensorflow-io crashes, or never ends
        files["no_block"] = data[:32] + b"\0\0" + data[34:]
        files["wide_block"] = data[:32] + b"\x40\0" + data[34:]
        files["negative"] = data[:40] + b"\xf8\xff\xff\xff" + data[44:]
    if name == "a.flac":  # the first never ends, the last takes memory
        files["one_more"] = with_flac_samples(data, 20801)
        files["stream"] = with_flac_samples(data, 0)
        files["gigabytes"] = with_flac_samples(data, 2**36 - 1)
    return {f"{kind}-{name}": content for kind, content in files.items()}


@in_graph
@pytest.mark.parametrize("name", EVERY_FORMAT)
def test_damaged_files_give_what_soundfile_gives(write, name):
    """No crash, no hang: the same samples or the same reason, for each file."""
    data = open(write(name, sound()), "rb").read()
    for damage, content in damaged(name, data).items():
        waveform, reason, expected, why = read_both(write(damage, content))
        assert reason == why, damage
        assert waveform.shape == expected.shape, damage
        if damage != "flip-a.mp3":  # two decoders guess what was there
            np.testing.assert_allclose(waveform, expected, atol=3e-6, err_msg=damage)


@in_graph
def test_damaged_frame_of_flac_is_found_beside_silence(write):
    """libFLAC decodes it as zeros, which silence is as well, without an error."""
    path = write("a.flac", sound())
    assert decode(path)[1] == ""
    data = open(path, "rb").read()
    at = len(data) * 9 // 10
    path = write("b.flac", data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    assert "damaged" in decode(path)[1]


@in_graph
def test_random_damage(write, tmp_path):
    """What is accepted inside the graph, soundfile decodes to the same samples."""
    rng = np.random.default_rng(0)
    for name in ("a.wav", "a.flac", "a.ogg"):  # mp3 has no checksums
        data = open(write(name, sound(0.4, channels=2)), "rb").read()
        for _ in range(25):
            content = bytearray(data)
            at = rng.integers(4, 64 if rng.random() < 0.5 else len(data), size=2)
            content[at[0]] = rng.integers(256)
            del content[at[1] : at[1] + rng.choice([0, 1, 500])]
            path = write("b" + name, bytes(content))
            waveform, reason = decode(path)
            if not reason:
                expected, _ = soundfile.read(path, dtype="float32", always_2d=True)
                expected = np.clip(expected.mean(axis=1), -1, 1)
                np.testing.assert_allclose(waveform, expected, atol=3e-6)


@in_graph
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.wav", b""),
        ("text.mp3", b"not a sound " * 100),
        ("page.flac", b"<html>" + bytes(1000)),
        ("zip.ogg", b"PK\x03\x04" + bytes(1000)),
        ("sound.aiff", sound()),
        ("other_rate.wav", sound()),
    ],
)
def test_other_files_go_to_soundfile(write, name, content):
    path = write(name, content, 12345 if "rate" in name else RATE)
    waveform, reason, expected, why = read_both(path)
    assert reason == why
    np.testing.assert_array_equal(waveform, expected)


@in_graph
def test_missing_file_and_folder(tmp_path):
    for path in (str(tmp_path / "missing.wav"), str(tmp_path)):
        assert "it is missing" in decode(path)[1]
        _, reason, _, why = read_both(path)
        assert reason == why


@in_graph
def test_broken_files_do_not_end_a_pipeline(write):
    data = open(write("a.flac", sound()), "rb").read()
    good, cut = write("good.flac", data), write("cut.flac", data[:9000])
    paths = tf.data.Dataset.from_tensor_slices([good, cut, "nowhere.flac", good] * 3)
    load = functools.partial(tensorflow_io.decode, sample_rate=RATE)
    reasons = [r.numpy() for _, r in paths.map(load, num_parallel_calls=4)]
    assert [bool(reason) for reason in reasons] == [False, True, True, False] * 3


@in_graph
def test_decode_asks_no_python():
    graph = reader("decode", sample_rate=RATE).get_concrete_function().graph
    definition = graph.as_graph_def()
    nodes = [
        *definition.node,
        *(n for f in definition.library.function for n in f.node_def),
    ]
    operations = {node.op for node in nodes}
    assert "IO>AudioDecodeFlac" in operations
    assert not [name for name in operations if "PyFunc" in name]


@in_graph
def test_saved_graph(write, tmp_path):
    module = tf.Module()
    module.decode = reader("decode", sample_rate=RATE)
    tf.saved_model.save(module, str(tmp_path / "saved"))
    path = write("a.ogg", sound())
    waveform, reason = tf.saved_model.load(str(tmp_path / "saved")).decode(path)
    assert reason == b""
    np.testing.assert_allclose(waveform, audio.read(path)[0], atol=3e-6)


@in_graph
def test_tf_data_service(write):
    service = tf.data.experimental.service
    dispatcher = service.DispatchServer()
    address = dispatcher.target.split("//")[1]
    worker = service.WorkerServer(service.WorkerConfig(dispatcher_address=address))
    path = write("a.flac", sound())
    paths = tf.data.Dataset.from_tensor_slices([path] * 3)
    clips = paths.map(functools.partial(tensorflow_io.decode, sample_rate=32000))
    clips = clips.apply(service.distribute("parallel_epochs", dispatcher.target))
    expected, _ = audio.read(path, 32000)
    for waveform, reason in clips:
        assert reason == b""
        np.testing.assert_allclose(waveform, expected, atol=3e-6)
    worker.stop()


@in_graph
@pytest.mark.parametrize("sample_rate", [16000, 32000])
@pytest.mark.parametrize("folder", ["esc10", "librispeech_small", "fsdd"])
def test_real_recordings(data_root, folder, sample_rate):
    files = sorted((data_root / folder).rglob("*.flac"))
    files = files or sorted((data_root / folder).rglob("*.ogg"))
    for path in files[:: len(files) // 5]:
        waveform, reason = decode(str(path), sample_rate)
        assert reason == ""
        np.testing.assert_allclose(
            waveform, audio.read(path, sample_rate)[0], atol=3e-6
        )


@pytest.mark.parametrize(
    ("version", "module", "found"),
    [
        ("2.17.1", None, r"Found: TensorFlow 2\.17\.1 without it\."),
        ("2.21.0", None, r"Found: TensorFlow 2\.21\.0, in which its operations are"),
    ],
)
def test_import_error_says_what_to_install(monkeypatch, version, module, found):
    monkeypatch.setattr(tf, "__version__", version)
    monkeypatch.setitem(sys.modules, "tensorflow_io", module)
    tensorflow_io.check_tensorflow_io.cache_clear()
    with pytest.raises(ImportError, match=found) as caught:
        tensorflow_io.decode("a.wav", RATE)
    assert "constraints-tensorflow-io.txt 'keras-asit[tensorflow-io]'" in str(
        caught.value
    )
    tensorflow_io.check_tensorflow_io.cache_clear()
