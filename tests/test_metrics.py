"""scikit-learn and the functions of arrays, which equal it, are the oracle."""

import re

import keras
import numpy as np
import pytest
from keras import ops
from scipy.stats import norm
from sklearn import metrics as oracle

from benchmarks import metrics as benchmark
from drivers import many_devices, metrics_on_devices
from keras_asit import evaluation
from keras_asit.metrics import DPrime, MeanAUC, MeanAveragePrecision
from keras_asit.models import ASiTClassifier
from layer_checks import check_config
from tiny_asit import BINS, FRAMES, tiny_backbone

KINDS = [MeanAveragePrecision, MeanAUC, DPrime]
NUM_BINS = 128


def middles(bins, num_bins=NUM_BINS):
    """Logits in the middle of bins that are numbered from the highest down."""
    limit = np.arcsinh(32.0)
    return np.sinh(limit - (np.asarray(bins) + 0.5) * 2 * limit / num_bins)


def bins_of(logits, num_bins):
    """Numbers of the bins of logits, as they are documented."""
    limit = np.arcsinh(32.0)
    place = (limit - np.arcsinh(logits.astype("float64"))) * num_bins / (2 * limit)
    return np.clip(np.floor(place), 0, num_bins - 1).astype("int64")


def clips(number=100, classes=5, seed=0):
    """Targets, and logits in bins of their own; classes of no and of all positives."""
    rng = np.random.default_rng(seed)
    targets = (rng.random((number, classes)) < 0.3).astype("float32")
    targets[:, 1], targets[:, 3] = 0, 1
    bins = np.stack([rng.permutation(NUM_BINS)[:number] for _ in range(classes)], 1)
    return targets, middles(bins).astype("float32")


def streamed(metric, targets, scores, weights=None, batch=32):
    """The result of a metric that saw clips in batches, the last of them shorter."""
    for start in range(0, len(targets), batch):
        of_batch = slice(start, start + batch)
        weight = None if weights is None else weights[of_batch]
        metric.update_state(targets[of_batch], scores[of_batch], weight)
    return float(metric.result())


def exact(kind, targets, scores):
    if kind is keras.metrics.MeanMetricWrapper:
        return evaluation.accuracy(targets.argmax(axis=1), scores)
    if kind is MeanAveragePrecision:
        return evaluation.mean_average_precision(targets, scores)
    area = evaluation.mean_auc(targets, scores)
    return evaluation.d_prime(area) if kind is DPrime else area


def weighted(kind, targets, scores, weights):
    """scikit-learn's mean over the classes of weighted clips."""
    average_precision = kind is MeanAveragePrecision
    measure = "average_precision_score" if average_precision else "roc_auc_score"
    found = []
    for truth, column in zip(targets.T, scores.T):
        counted = truth[weights > 0]
        if counted.any() and (average_precision or not counted.all()):
            found.append(getattr(oracle, measure)(truth, column, sample_weight=weights))
    mean = np.mean(found)
    return np.sqrt(2) * norm.ppf(mean) if kind is DPrime else mean


@pytest.mark.large_on_jax
@pytest.mark.parametrize("kind", KINDS)
def test_exact_where_scores_lie_in_bins_of_their_own(kind):
    targets, scores = clips()
    found = streamed(kind(5, num_bins=NUM_BINS), targets, scores)
    assert found == pytest.approx(exact(kind, targets, scores), abs=2e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_ties_and_weights_are_those_of_scikit_learn(kind):
    targets, scores = clips()
    scores = middles(bins_of(scores, 8), 8)  # about 12 clips a bin
    found = streamed(kind(5, num_bins=8), targets, scores)
    assert found == pytest.approx(exact(kind, targets, scores), abs=2e-6)
    weights = np.random.default_rng(1).choice([0.0, 0.5, 1.0, 3.0], len(targets))
    found = streamed(kind(5, num_bins=8), targets, scores, weights)
    assert found == pytest.approx(weighted(kind, targets, scores, weights), abs=4e-6)


@pytest.mark.large_on_jax
@pytest.mark.parametrize("num_bins", [64, 512, 2048])
def test_bounds(num_bins):
    """Those of the docstrings, class by class; they shrink with the bins."""
    rng = np.random.default_rng(3)
    targets = (rng.random((2000, 6)) < 0.1).astype("float32")
    scores = (rng.normal(size=targets.shape) * 1.5 - 6 + 4 * targets).astype("float32")
    for truth, column in zip(targets.T, scores.T):
        bins = bins_of(column, num_bins)
        clips_in = np.bincount(bins, minlength=num_bins)
        up_to = np.cumsum(clips_in)
        mine = bins[truth == 1]
        bound = np.mean((clips_in[mine] - 1) / up_to[mine])
        truth, column = truth[:, None], column[:, None]
        found = streamed(MeanAveragePrecision(1, num_bins), truth, column, batch=500)
        error = abs(found - evaluation.mean_average_precision(truth, column))
        assert error <= bound + 1e-6
        assert error < 0.7 * 64 / num_bins
        others = np.bincount(bins[truth[:, 0] == 0], minlength=num_bins)
        bound = others[mine].sum() / len(mine) / others.sum() / 2
        found = streamed(MeanAUC(1, num_bins), truth, column, batch=500)
        assert abs(found - evaluation.mean_auc(truth, column)) <= bound + 1e-6


def test_probabilities():
    targets, scores = clips()
    probabilities = 1 / (1 + np.exp(-scores.astype("float64")))
    near = np.abs(scores) < 8  # float32 tells probabilities apart
    for kind in KINDS:
        for_logits = kind(5, num_bins=NUM_BINS)
        of_logits = streamed(for_logits, targets, np.where(near, scores, 9.0))
        metric = kind(5, num_bins=NUM_BINS, from_logits=False)
        seen = np.where(near, probabilities, 1 / (1 + np.exp(-9.0)))
        assert streamed(metric, targets, seen) == pytest.approx(of_logits, abs=1e-6)


@pytest.mark.parametrize(
    ("from_logits", "outer"), [(True, (-np.inf, np.inf, 1e30)), (False, (0, 1, 1))]
)
def test_the_outer_bins_have_no_end(from_logits, outer):
    metric = MeanAUC(1, from_logits=from_logits)
    scores = np.array([outer], "float32").T
    assert streamed(metric, np.array([[0.0], [1.0], [1.0]]), scores) == 1.0
    counts = ops.convert_to_numpy(metric.counts)
    assert (counts[0, 0, -1], counts[1, 0, 0]) == (1, 2)
    metric = DPrime(1, from_logits=from_logits)
    assert streamed(metric, np.array([[0.0], [1.0], [1.0]]), scores) == np.inf


@pytest.mark.parametrize("kind", KINDS)
def test_padding_does_not_count(kind):
    targets, scores = clips()
    expected = streamed(kind(5, num_bins=NUM_BINS), targets, scores)
    rows = np.full((7, 5), np.nan, "float32")
    weights = np.repeat([1.0, 0.0], [100, 7])
    padded = np.concatenate([targets, np.ones_like(rows)])
    metric = kind(5, num_bins=NUM_BINS)
    found = streamed(metric, padded, np.concatenate([scores, rows]), weights)
    assert found == expected
    metric = kind(5, num_bins=NUM_BINS)
    assert streamed(metric, padded[:, :], np.pad(scores, [(0, 7), (0, 0)])) != expected


@pytest.mark.parametrize("kind", KINDS)
def test_a_score_that_is_not_a_number_shows(kind):
    targets, scores = clips()
    scores[3, 2] = np.nan
    metric = kind(5, num_bins=NUM_BINS)
    assert np.isnan(streamed(metric, targets, scores))
    metric.reset_state()
    targets, scores = clips()
    expected = streamed(kind(5, num_bins=NUM_BINS), targets, scores)
    assert streamed(metric, targets, scores) == expected


def test_logits_in_the_place_of_probabilities_show():
    targets, scores = clips()
    assert np.isnan(streamed(MeanAUC(5, from_logits=False), targets, scores))


@pytest.mark.parametrize("kind", KINDS)
def test_undefined_before_the_first_positive(kind):
    metric = kind(2)
    assert np.isnan(float(metric.result()))
    metric.update_state(np.zeros((3, 2)), np.zeros((3, 2)))
    assert np.isnan(float(metric.result()))


def test_targets_that_mixup_made_are_present_from_one_half_on():
    targets, scores = clips()
    mixed = np.where(targets == 1, 0.5, 0.49)
    for kind in KINDS:
        metrics = [kind(5, num_bins=NUM_BINS) for _ in range(2)]
        assert streamed(metrics[0], mixed, scores) == streamed(
            metrics[1], targets, scores
        )


@pytest.mark.parametrize("kind", KINDS)
def test_merged_parts_are_the_whole(kind):
    targets, scores = clips()
    whole, *parts = (kind(5, num_bins=NUM_BINS) for _ in range(4))
    expected = streamed(whole, targets, scores)
    for i, part in enumerate(parts):
        streamed(part, targets[i::3], scores[i::3])
    parts[0].merge_state(parts[1:])
    assert float(parts[0].result()) == expected
    with pytest.raises(ValueError, match=r"num_bins=128; received .*num_bins=64"):
        whole.merge_state([kind(5, num_bins=64)])


@pytest.mark.parametrize("kind", KINDS)
def test_config(kind):
    metric = kind(7, num_bins=32, from_logits=False, name="mine")
    check_config(metric)
    config = {"num_classes": 7, "num_bins": 32, "from_logits": False, "name": "mine"}
    assert metric.get_config() == config
    assert kind(7).name in ("mean_average_precision", "mean_auc", "d_prime")


def test_counts_stay_exact_in_half_precision():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("bfloat16")
    try:
        metric = MeanAveragePrecision(1, num_bins=2)
        scores = np.where(np.arange(3000) % 2, 1.0, -1.0)[:, None]
        metric.update_state(np.ones((3000, 1)), ops.cast(scores, "bfloat16"))
    finally:
        keras.config.set_dtype_policy(policy)
    assert metric.counts.dtype == "float32"
    assert ops.convert_to_numpy(metric.counts)[1].tolist() == [[1500, 1500]]


@pytest.mark.parametrize(
    ("targets", "scores", "weights", "message"),
    [
        (np.zeros(4), np.zeros((4, 3)), None, r"targets \(4,\).*one_hot"),
        (np.zeros((4, 1)), np.zeros((4, 3)), None, r"targets \(4, 1\)"),
        (np.zeros((4, 2)), np.zeros((4, 2)), None, r"\(B, 3\)"),
        (np.zeros((4, 3)), np.zeros((4, 3)), np.ones((4, 3)), "a weight a clip"),
    ],
)
def test_wrong_shapes(targets, scores, weights, message):
    with pytest.raises(ValueError, match=message):
        MeanAUC(3).update_state(targets, scores, weights)


@pytest.mark.parametrize("arguments", [(0,), (3, 1)])
def test_wrong_numbers(arguments):
    with pytest.raises(ValueError, match="num_classes is at least 1"):
        MeanAUC(*arguments)


def test_in_a_classifier(tmp_path):
    """Through `fit`, `evaluate` with padding, and a saved file."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(12, FRAMES, BINS)).astype("float32")
    targets = (rng.random((12, 3)) < 0.5).astype("float32")
    weights = np.repeat([1.0, 0.0], [9, 3]).astype("float32")
    model = ASiTClassifier(tiny_backbone(num_layers=1), 3, multi_label=True)
    model.head.kernel.assign(rng.normal(size=(32, 3)))  # far apart
    metrics = [kind(3, num_bins=1 << 16) for kind in KINDS]
    compiled = {"jit_compile": "auto" if keras.backend.backend() == "jax" else False}
    model.compile(
        optimizer=keras.optimizers.SGD(0.0), weighted_metrics=metrics, **compiled
    )
    history = model.fit(features, targets, 4, sample_weight=weights, verbose=0).history
    logs = model.evaluate(
        features, targets, 4, sample_weight=weights, verbose=0, return_dict=True
    )
    model.save(tmp_path / "classifier.keras")
    again = keras.models.load_model(tmp_path / "classifier.keras")
    again_logs = again.evaluate(
        features, targets, 4, sample_weight=weights, verbose=0, return_dict=True
    )
    scores = ops.convert_to_numpy(model(features[:9]))
    for kind, metric in zip(KINDS, metrics):
        expected = exact(kind, targets[:9], scores)
        assert logs[metric.name] == pytest.approx(expected, abs=1e-5)
        assert again_logs[metric.name] == pytest.approx(expected, abs=1e-5)
        assert np.isfinite(history[metric.name]).all()


@pytest.mark.large_on_jax
def test_the_measures_are_timed(capsys):
    benchmark.main(["--clips", "300", "--classes", "20"])
    lines = capsys.readouterr().out.splitlines()[1:]
    assert lines[0].startswith("300 clips, ")
    for name, line in zip(("mAP", "mean AUC"), lines[1:], strict=True):
        pattern = r" +(0\.\d+) .* s, differs by (\d+e.\d+)  in bins (0\.\d+)"
        [found] = re.findall(name + pattern, line)
        value, error, in_bins = map(float, found)
        assert error < 1e-9
        assert in_bins == pytest.approx(value, abs=0.02)


CASES = {  # kind and number of processes, the first in the ordinary suite
    "tensorflow": [("mirrored", 1), ("workers", 2)],
    "jax": [("data_parallel", 1), ("data_parallel", 2)],
}.get(keras.backend.backend(), [])


@pytest.mark.parametrize(
    ("kind", "processes"),
    [
        pytest.param(*case, id="-".join(map(str, case)), marks=[pytest.mark.large] * i)
        for i, case in enumerate(CASES)
    ],
)
def test_many_devices_count_as_one(kind, processes, tmp_path):
    """At the end of the last batch, of the epoch and of `evaluate`, in each process."""
    started = many_devices.start(
        metrics_on_devices.__file__,
        kind,
        tmp_path / "seen",
        backend=keras.backend.backend(),
        processes=processes,
    )
    many_devices.finish(started)
    scores, targets, weights = metrics_on_devices.clips()
    scores, targets = scores[weights > 0], targets[weights > 0]
    for number in range(processes):
        seen = dict(np.load(tmp_path / f"seen-{number}.npz"))
        for metric in metrics_on_devices.metrics():
            expected = exact(type(metric), targets, scores)
            # Within an epoch Keras logs the mean of what the replicas have so far.
            of_replicas = kind != "data_parallel" and metric.name == "accuracy"
            for when in ("batch", "epoch", "evaluate")[of_replicas:]:
                value = seen[f"{when}/{metric.name}"]
                assert value == pytest.approx(expected, abs=1e-5), (when, metric.name)
