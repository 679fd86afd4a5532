"""A run as TensorBoard's own reader has it, and what may go wrong on the way."""

import io
import warnings

import keras
import numpy as np
import pytest
from PIL import Image

from keras_asit import processes
from keras_asit.callbacks import EMATeacher, TensorBoard
from keras_asit.models import ASiTClassifier
from reading_events import read_events
from tiny_asit import clean_views, tiny_backbone, values, waveforms

COMPILED = {"jit_compile": "auto" if keras.backend.backend() == "jax" else False}
STEPS, EPOCHS = 4, 3
# It draws from the corruption's seed as well.
VALIDATION = {"validation_data": (clean_views(2),), "validation_batch_size": 2}
CLIPS = waveforms(6)[:, 0], np.array([0, 1, 2, 0, 1, 2])


def fit(model, *callbacks, epochs=EPOCHS, **arguments):
    teacher = EMATeacher(0.9, 1.0, temperature_epochs=EPOCHS)
    arguments = {"batch_size": 2, "verbose": 0, "shuffle": False, **arguments}
    return model.fit(
        clean_views(2 * STEPS),
        callbacks=[*callbacks, teacher],
        epochs=epochs,
        **arguments,
    ).history


def board(folder, **arguments):
    arguments = {"views": clean_views(2, seed=1), "labelled": CLIPS, **arguments}
    return TensorBoard(folder, every_steps=3, every_epochs=2, **arguments)


@pytest.fixture(autouse=True)
def fixed_seeds():
    """Not before each test: TensorFlow would trace the step anew in each."""


@pytest.fixture(scope="module")
def run(compiled, tmp_path_factory):
    """A model, its history, the folder of logs, and how it can begin anew."""
    model, begin_anew = compiled
    begin_anew()
    folder = tmp_path_factory.mktemp("logs") / "run"
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        history = fit(model, board(folder), **VALIDATION)
    return model, history, folder, begin_anew


@pytest.fixture(scope="module")
def events(run):
    return read_events(run[2])


def curve(events, tag):
    found = events.Scalars(tag)
    return [event.step for event in found], [event.value for event in found]


@pytest.mark.large_on_jax
@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("epoch/loss", "loss"),
        ("epoch/local_loss", "local_loss"),
        ("validation/loss", "val_loss"),
        ("doctor/gradient_norm", "doctor/gradient_norm"),
        ("doctor/skipped_steps", "doctor/skipped_steps"),
    ],
)
def test_curves_of_epochs(run, events, tag, name):
    steps, found = curve(events, tag)
    assert steps == [4, 8, 12]
    np.testing.assert_allclose(found, run[1][name], rtol=1e-6)


@pytest.mark.large_on_jax
def test_curves_of_steps(run, events):
    """Points at steps 3, 6, 9 and 12 of the run; the third of them is in epoch 3."""
    for name in ("loss", "reconstruction_loss", "gradient_norm", "global_entropy"):
        assert curve(events, f"step/{name}")[0] == [3, 6, 9, 12]
    assert "step/clips" not in events.Tags()["scalars"]
    # The last epoch has points at its first and its last step: 1 + 3 steps.
    found = curve(events, "step/loss")[1]
    mean = (found[2] + 3 * found[3]) / 4
    np.testing.assert_allclose(mean, run[1]["loss"][2], rtol=1e-5)


@pytest.mark.large_on_jax
def test_schedules(run, events):
    steps, found = curve(events, "schedule/learning_rate")
    assert steps == [0, 3, 4, 6, 8, 9, 12, 12]
    cosine = (1 + np.cos(np.pi * np.array(steps) / 12)) / 2  # from 1 to 0
    np.testing.assert_allclose(found, 1e-5 + (3e-2 - 1e-5) * cosine, rtol=1e-5)
    _, decay = curve(events, "schedule/weight_decay")
    np.testing.assert_allclose(decay, 0.4 - 0.36 * cosine, rtol=1e-5)
    _, momentum = curve(events, "schedule/teacher_momentum")
    np.testing.assert_allclose(momentum[1:], 1.0 - 0.1 * cosine[1:], rtol=1e-5)
    temperature = dict(zip(*curve(events, "schedule/teacher_temperature")))
    np.testing.assert_allclose(
        [temperature[step] for step in (3, 6, 12)], [0.04, 0.055, 0.07], rtol=1e-5
    )


@pytest.mark.large_on_jax
def test_pictures_are_of_the_same_clips_and_masks(run, events):
    images = events.Images("reconstructions")
    assert [image.step for image in images] == [0, 8, 12]
    first, _, last = (
        np.asarray(Image.open(io.BytesIO(image.encoded_image_string)).convert("RGB"))
        for image in images
    )
    width = first.shape[1]
    assert first.shape[:2] == (images[0].height, images[0].width)
    # Four panels side by side: clean, mask and corrupted stay, the last one changes.
    same = (first == last).all(axis=(0, 2))
    assert same[: 3 * width // 4].all()
    assert not same[3 * width // 4 :].all()


@pytest.mark.large_on_jax
def test_the_projector_has_the_newest_embeddings(run):
    model, _, folder, _ = run
    rows = np.loadtxt(folder / "embeddings.tsv", delimiter="\t")
    found, _ = board(folder).labelled.embed(model)
    np.testing.assert_allclose(rows, found, rtol=1e-4, atol=1e-5)
    labels = (folder / "embeddings-labels.tsv").read_text().split()
    assert labels == ["0", "1", "2", "0", "1", "2"]
    assert (
        'tensor_path: "embeddings.tsv"'
        in (folder / "projector_config.pbtxt").read_text()
    )


@pytest.mark.large_on_jax
def test_training_is_the_same_without(run):
    model, history, _, begin_anew = run
    after = values(model.weights)
    begin_anew()
    assert fit(model, **VALIDATION)["loss"] == history["loss"]
    for found, expected in zip(values(model.weights), after):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.large_on_jax
def test_a_second_fit_goes_on_along_the_axis(run, tmp_path):
    model = run[3]()
    for first in (0, 1):
        fit(
            model, TensorBoard(tmp_path, every_steps=None),
            initial_epoch=first, epochs=first + 1,
        )  # fmt: skip
    events = read_events(tmp_path)
    assert curve(events, "epoch/loss")[0] == [4, 8]
    assert not [tag for tag in events.Tags()["scalars"] if tag.startswith("step/")]


@pytest.mark.large_on_jax
def test_a_folder_that_cannot_be_written_stops_nothing(run, tmp_path):
    model, *_ = run
    (tmp_path / "taken").touch()
    with pytest.warns(UserWarning) as told:
        history = fit(model, board(tmp_path / "taken"))
    assert len(history["loss"]) == EPOCHS
    messages = [str(warning.message) for warning in told]
    for what in ("scalars", "picture", "embeddings"):
        [message] = [m for m in messages if f"TensorBoard: no {what}: " in m]
        assert "Training goes on" in message


@pytest.mark.large_on_jax
def test_a_picture_that_cannot_be_drawn_stops_nothing(run, tmp_path, monkeypatch):
    model, *_ = run
    calls = []

    def fail_later(views):
        calls.append(views)
        if len(calls) > 1:
            model.corruption.seed_generator.next()
            raise RuntimeError("no memory")
        return type(model).reconstruct(model, views)

    monkeypatch.setattr(model, "reconstruct", fail_later)
    with pytest.warns(UserWarning, match="no picture: RuntimeError: no memory"):
        history = fit(model, board(tmp_path))
    assert len(history["loss"]) == EPOCHS
    assert len(calls) == 3
    events = read_events(tmp_path)
    assert len(events.Images("reconstructions")) == 1
    assert len(events.Scalars("epoch/loss")) == EPOCHS


@pytest.mark.large_on_jax
def test_what_does_not_fit_is_told_at_once(run, tmp_path):
    model, *_ = run
    with pytest.raises(ValueError):
        fit(model, board(tmp_path, views=clean_views(2)[:, :, :16]))
    with pytest.raises(ValueError):
        fit(model, board(tmp_path, labelled=(np.zeros((2, 16, 8)), [0, 1])))
    with pytest.raises(ValueError, match="a whole number of 1 or more"):
        TensorBoard(tmp_path, every_steps=0)


def test_a_classifier_has_curves_too(tmp_path):
    model = ASiTClassifier(tiny_backbone(num_layers=1), 2)
    model.compile(keras.optimizers.Adam(1e-3), **COMPILED)
    x, y = np.zeros((2, 48, 32), "float32"), np.array([0, 1])
    seeing = TensorBoard(tmp_path, labelled=(x, y), class_names=["dog", "cat"])
    model.fit(x, y, verbose=0, callbacks=[seeing])
    events = read_events(tmp_path)
    assert curve(events, "epoch/loss")[0] == [1]
    np.testing.assert_allclose(curve(events, "schedule/learning_rate")[1], 1e-3)
    assert (tmp_path / "embeddings-labels.tsv").read_text() == "dog\ncat\n"


def test_of_several_processes_the_first_one_writes(compiled, tmp_path, monkeypatch):
    model, begin_anew = compiled
    begin_anew()
    monkeypatch.setattr(processes, "count", lambda model: 2)
    monkeypatch.setattr(processes, "index", lambda model: 1)
    fit(model, TensorBoard(tmp_path / "logs", every_steps=1), epochs=1)
    assert not (tmp_path / "logs").exists()
    with pytest.raises(ValueError, match=r"one process for views and labelled.*2 proc"):
        fit(model, board(tmp_path / "logs"), epochs=1)
    monkeypatch.setattr(processes, "index", lambda model: 0)
    fit(model, TensorBoard(tmp_path / "logs", every_steps=1), epochs=1)
    assert read_events(tmp_path / "logs")
