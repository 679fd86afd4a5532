"""Mean and deviation of the log-mel filterbank over many clips."""

import base64
import contextlib

import keras
import numpy as np
from tqdm import tqdm

from keras_asit.audio import LogMelFilterbank, read
from keras_asit.audit.journal import Journal
from keras_asit.audit.moments import Moments, standard_error
from keras_asit.audit.threads import in_order

PIECE_FRAMES = 100  # of a clip at a time: about a second
PIECES = 16  # in a call, of one clip or of several
_CLIPS = 16  # of a thread's task, which fill calls together


def moments_of_clips(waves, frontend):
    """The moments of the frames of each of some clips; padding does not count.

    JAX compiles anew for every shape, and a call takes milliseconds whatever its size.
    So clips are cut into pieces of one length, and calls are of one number of pieces.
    The pieces overlap such that their frames are those of the whole clip; as the
    filterbank removes the mean of each frame, the cuts change nothing.

    Args:
        waves: Iterable of waveforms `(S,)` at the frontend's rate.
        frontend: A `LogMelFilterbank` without normalisation, and `num_frames=None`.

    Returns:
        A list of `Moments` of `(T, F)` values, of none for a clip shorter than a frame.
    """
    moments, waiting = [], []

    def call():
        pieces = np.zeros((PIECES, frontend.samples(PIECE_FRAMES)), "float32")
        for place, (_, piece, _) in zip(pieces, waiting):
            place[: len(piece)] = piece
        log_mel = keras.ops.convert_to_numpy(frontend(pieces))
        for rows, (clip, _, frames) in zip(log_mel, waiting):
            moments[clip] = moments[clip].merged(Moments.of(rows[:frames]))
        waiting.clear()

    for clip, wave in enumerate(waves):
        moments.append(Moments())
        for piece, frames in _pieces(wave, frontend):
            waiting.append((clip, piece, frames))
            if len(waiting) == PIECES:
                call()
    if waiting:
        call()
    return moments


def _pieces(wave, frontend):
    """Yields parts of a clip, and the frames in each: `PIECE_FRAMES`, or the rest."""
    shift = frontend.samples(2) - frontend.samples(1)
    all_frames = frontend.frames(len(wave))
    for first in range(0, all_frames, PIECE_FRAMES):
        frames = min(PIECE_FRAMES, all_frames - first)
        yield wave[first * shift :][: frontend.samples(frames)], frames


def describe_log_mel(path, facts, rows, of_clips, sample_rate, workers, progress):
    """What the report says of the log-mel of clips, without normalisation.

    Args:
        path: Of the `Journal` that keeps what was measured.
        facts: `Facts` `[N]`.
        rows: Rows of the clips to measure, in order.
        of_clips: How many clips they were drawn from.
        sample_rate: Rate in Hz that clips are resampled to.
        workers: Number of threads; None: one a processor.
        progress: Whether to show a progress bar.

    Returns:
        A dict; None if no clip can be read or all are shorter than a frame.
    """
    frontend = LogMelFilterbank(sample_rate)
    with Journal(path, journal_header(frontend)) as journal:
        moments, counts, means = measure_log_mel(
            facts, rows, frontend, journal, workers, progress
        )
    if not moments.count:
        return None
    mean, std = moments.of_all_values()
    return {
        **journal_header(frontend),
        "clips": len(counts),
        "of_clips": of_clips,
        "frames": moments.count,
        # More digits than are sure, and few enough to be the same in each run.
        "mean": round(mean, 5),
        "std": round(std, 5),
        "standard_error": round(standard_error(counts, means, of_clips), 5),
        "bins": {
            "hertz": np.round(bin_centres(frontend), 2).tolist(),
            "mean": np.round(moments.mean, 4).tolist(),
            "std": np.round(moments.std, 4).tolist(),
        },
    }


def journal_header(frontend):
    """What values of clips that were kept depend on, beside the clips."""
    names = ("sample_rate", "num_mel_bins", "frame_length_ms", "frame_shift_ms")
    config = frontend.get_config()
    return {
        "format": "keras_asit log-mel of clips, version 2",
        **{name: config[name] for name in (*names, "low_freq", "high_freq")},
    }


def bin_centres(frontend):
    """Centres of the mel bins in Hz, a list of F numbers."""
    top = frontend.high_freq or frontend.sample_rate / 2
    low, high = 1127.0 * np.log1p(np.array([frontend.low_freq, top]) / 700.0)
    mel = np.linspace(low, high, frontend.num_mel_bins + 2)[1:-1]
    return (700.0 * np.expm1(mel / 1127.0)).tolist()


def measure_log_mel(facts, rows, frontend, journal, workers=None, progress=True):
    """The moments of the log-mel of clips; those in the journal are taken from it.

    Args:
        facts: `Facts` `[N]`.
        rows: Rows of the clips to measure, in order.
        frontend: A `LogMelFilterbank` without normalisation.
        journal: An open `Journal`.
        workers: Number of threads; None: one a processor.
        progress: Whether to show a progress bar.

    Returns:
        `(moments, counts, means)`: of all, and frames and mean of each clip that could
        be read and is no shorter than a frame.
    """
    known = _recall(facts, rows, journal)
    frontend(np.zeros(frontend.samples(1), "float32"))  # built before the threads

    def measure(group):
        new = [row for row in group if row not in known]
        waves = (_wave(facts.paths[row], frontend.sample_rate) for row in new)
        return group, dict(zip(new, moments_of_clips(waves, frontend)))

    total, counts, means = Moments(), [], []
    groups = np.split(rows, range(_CLIPS, len(rows), _CLIPS))
    bar = tqdm(total=len(rows), desc="log-mel", unit="clip", disable=not progress)
    with bar, contextlib.closing(in_order(measure, groups, workers, 1)) as measured:
        for group, new in measured:
            bar.update(len(group))
            for row, moments in new.items():
                if moments.count:
                    journal.append(_entry(facts, row, moments))
            for row in group:
                moments = new[row] if row in new else known[row]
                if moments.count:
                    total = total.merged(moments)
                    counts.append(moments.count)
                    means.append(moments.mean.mean())
    return total, np.array(counts), np.array(means)


def _wave(path, sample_rate):
    """A waveform; of no samples where it cannot be read any more, or resampled."""
    try:
        return read(path, sample_rate)[0]
    except Exception:  # one bad file must not end hours of work
        return np.zeros(0, "float32")


def _entry(facts, row, moments):
    size, mtime = facts.stamp(row)
    numbers = np.stack([moments.mean, moments.squares]).astype("<f8").tobytes()
    return {
        "path": facts.key(row),
        "size": size,
        "mtime": mtime,
        "frames": moments.count,
        "mean_and_squares": base64.b64encode(numbers).decode(),
    }


def _recall(facts, rows, journal):
    """Dict of row to the `Moments` of an earlier run, for unchanged files."""
    wanted = {facts.key(row): row for row in rows}
    known = {}
    for entry in journal.entries():
        row = wanted.get(str(entry.get("path")))
        if row is None or (entry.get("size"), entry.get("mtime")) != facts.stamp(row):
            continue
        try:
            numbers = base64.b64decode(entry["mean_and_squares"])
            mean, squares = np.frombuffer(numbers, "<f8").reshape(2, -1)
            known[row] = Moments(int(entry["frames"]), mean, squares)
        except (KeyError, TypeError, ValueError):
            continue  # a damaged line
    return known
