import keras
import numpy as np
import pytest
from keras import ops

from keras_asit import embed
from keras_asit.models import ASiTClassifier, hidden_states
from tiny_asit import PATCH, RATE, SAMPLES, tiny_backbone, tiny_pretrainer

STEP = PATCH * RATE // 100  # samples from a step of patches to the next


@pytest.fixture(scope="module")
def backbone():
    return tiny_backbone()


def noise(*shape, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.5, 0.5, shape).astype("float32")


def tokens_of(backbone, window):
    """Tokens `[1 + P, D]` of one window, by the plain call."""
    features = backbone.frontend(window[None])
    return ops.convert_to_numpy(backbone(features, training=False))[0]


def steps_of(backbone, window):
    """The tokens' mean over frequency, `[T', D]`, by a loop."""
    tokens = tokens_of(backbone, window)[1:]
    rows, columns = backbone.grid
    return np.stack(
        [tokens[i * columns : (i + 1) * columns].mean(axis=0) for i in range(rows)]
    )


def close(result, expected):
    np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize(
    "pooling, expected",
    [
        ("mean", lambda tokens: tokens[1:].mean(axis=0)),
        ("cls", lambda tokens: tokens[0]),
        ("cls+mean", lambda t: np.concatenate([t[0], t[1:].mean(axis=0)])),
    ],
)
def test_clips_are_the_pooled_tokens(backbone, pooling, expected):
    waves = noise(3, SAMPLES)
    embeddings = embed(backbone, waves, RATE, pooling=pooling, batch_size=2)
    assert isinstance(embeddings, np.ndarray) and embeddings.dtype == "float32"
    close(embeddings, [expected(tokens_of(backbone, wave)) for wave in waves])


@pytest.mark.parametrize("level", ["clip", "frame"])
def test_last_layers_are_read_one_behind_the_other(backbone, level):
    """Each after the final norm; the last of them is the backbone's output."""
    waves = noise(3, SAMPLES)
    states = hidden_states(backbone, backbone.frontend(waves))[1:]
    earlier, last = (ops.convert_to_numpy(backbone.norm(state)) for state in states)
    found, alone = (
        embed(backbone, waves, RATE, level, pooling="cls", last_layers=n)
        for n in (2, 1)
    )
    if level == "clip":
        close(found, np.concatenate([earlier[:, 0], last[:, 0]], axis=1))
        close(found[:, 32:], alone)
    else:
        steps = earlier[:, 1:].reshape(3, *backbone.grid, 32).mean(axis=2)
        close(found[0][..., :32], steps)
        close(found[0][..., 32:], alone[0])


def test_waveforms_as_array_list_tensor_or_one(backbone):
    waves = noise(2, SAMPLES)
    expected = embed(backbone, waves, RATE)
    for same in (list(waves), ops.convert_to_tensor(waves), waves.astype("float64")):
        close(embed(backbone, same, RATE), expected)
    close(embed(backbone, waves[1], RATE), expected[1:])


def test_any_length(backbone):
    short, long = noise(SAMPLES // 2), noise(5 * SAMPLES // 2)
    padded = np.concatenate([short, np.zeros(SAMPLES - len(short), "float32")])
    # Three windows, evenly spaced, cover two and a half.
    starts = [0, (len(long) - SAMPLES) // 2, len(long) - SAMPLES]
    windows = [tokens_of(backbone, long[start:][:SAMPLES])[1:] for start in starts]
    expected = [tokens_of(backbone, padded)[1:].mean(axis=0), np.mean(windows, (0, 1))]
    close(embed(backbone, [short, long], RATE, batch_size=2), expected)


def test_other_rates_are_resampled(backbone):
    seconds = SAMPLES / RATE
    times = np.arange(round(seconds * 2 * RATE)) / (2 * RATE)
    tone = (0.5 * np.sin(2 * np.pi * 1000 * times)).astype("float32")
    at_double_rate = embed(backbone, tone, 2 * RATE)
    direct = embed(backbone, tone[::2], RATE)
    # The tone lies far below both Nyquist rates; the floor of silence differs.
    similarity = np.sum(at_double_rate * direct) / np.sum(direct**2)
    assert similarity == pytest.approx(1, abs=0.05)


def test_classifier_and_pretrainer(backbone):
    waves = noise(2, SAMPLES)
    classifier = ASiTClassifier(backbone, num_classes=3)
    close(embed(classifier, waves, RATE), embed(backbone, waves, RATE))
    pretrainer = tiny_pretrainer()
    student = pretrainer.student.embedding.class_token
    student.assign(student + 1.0)
    close(embed(pretrainer, waves, RATE), embed(pretrainer.teacher, waves, RATE))


def test_frames_of_one_window(backbone):
    waves = noise(2, SAMPLES)
    embeddings, times = embed(backbone, waves, RATE, level="frame", batch_size=1)
    close(embeddings, [steps_of(backbone, wave) for wave in waves])
    # A step's 16 frames of 25 ms begin 10 ms apart: 175 ms, from 0, 160, 320 ms on.
    np.testing.assert_allclose(times, [0.0875, 0.2475, 0.4075])


def test_frames_of_a_long_clip_overlap_on_the_grid(backbone):
    steps = backbone.grid[0]
    wave = noise(SAMPLES + STEP)  # one step more than a window
    embeddings, times = embed(backbone, wave, RATE, level="frame")
    first = steps_of(backbone, wave[:SAMPLES])
    second = steps_of(backbone, wave[STEP:])
    expected = [first[0], *(first[1:] + second[:-1]) / 2, second[-1]]
    close(embeddings[0], expected)
    np.testing.assert_allclose(times, 0.0875 + 0.16 * np.arange(steps + 1))


def test_padding_has_no_frames(backbone):
    half_a_second, times = embed(backbone, noise(RATE // 4), RATE, level="frame")
    assert half_a_second.shape == (1, 2, 32)
    assert times.max() < 0.25
    tiny, times = embed(backbone, noise(10), RATE, level="frame")
    assert tiny.shape[1] == len(times) == 1


def test_frames_follow_an_event(backbone):
    """What changes a moment of the sound changes that moment's step the most."""
    wave = noise(7 * SAMPLES // 2) * 0.01
    loud = wave.copy()
    at = round(1.0 * RATE)
    loud[at : at + STEP // 2] += noise(STEP // 2, seed=1)
    quiet_steps, times = embed(backbone, wave, RATE, "frame", batch_size=2)
    loud_steps, _ = embed(backbone, loud, RATE, "frame", batch_size=2)
    change = np.linalg.norm(loud_steps - quiet_steps, axis=-1)[0]
    assert abs(times[change.argmax()] - 1.04) < 0.16


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"level": "word"}, r"level is one of \['clip', 'frame'\]"),
        ({"pooling": "max"}, "pooling='max'"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"last_layers": 0}, "from 1 to the 2 .* received 0"),
        ({"last_layers": 3}, "from 1 to the 2 .* received 3"),
        ({"sample_rate": 0}, "above 0 Hz"),
        ({"waveforms": []}, "received none"),
        ({"waveforms": np.zeros((2, 3, 4), "float32")}, r"of shape \(3, 4\)"),
        ({"waveforms": np.zeros((2, 400), "int16")}, "32768"),
        ({"waveforms": [noise(9), noise(0)]}, "number 1"),
        ({"waveforms": np.full((1, 400), np.nan)}, "NaN"),
        ({"waveforms": [noise(400), noise(800)], "level": "frame"}, "400 to 800"),
        ({"model": keras.Sequential()}, "received Sequential"),
    ],
)
def test_bad_input(backbone, arguments, message):
    usual = {"model": backbone, "waveforms": noise(1, 400), "sample_rate": RATE}
    with pytest.raises(ValueError, match=message):
        embed(**{**usual, **arguments})
