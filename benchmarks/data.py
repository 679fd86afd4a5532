"""CPU time of a clip on its way from disk to views, and what large manifests cost.

    python -m benchmarks.data
    python -m benchmarks.data --rows 2000000
    KERAS_BACKEND=jax python -m benchmarks.data

Clips of 10 s at 32 kHz, two views of 6 s each, as FLAC and as shards, of generated
sounds in a temporary folder. CPU time is that of all threads of the process, so it
does not matter how many there are; the clips lie in the memory of the file system, as
after a first epoch, so a disk is not measured. Beside the pipeline the same work is
done in a plain loop over the clips with soundfile, librosa and numpy. The parts and
the pipelines take turns, and the median of the turns counts.

With `--rows`, a CSV of so many rows is read in a process of its own, where each row is
a file (hard links of a few), and a batch of views is made.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import librosa
import numpy as np
import soundfile

from benchmarks import machine
from benchmarks.filterbank import about
from keras_asit import audio, data
from keras_asit.audio.filterbank import FLOOR, PREEMPHASIS, mel_weights
from keras_asit.data import synthetic

RATE, SECONDS, CROP, VIEWS, BATCH = 32000, 10.0, 6.0, 2, 16
OTHER_RATE = 44100
LINKS_A_FOLDER = 10_000


def write_clips(folder, count):
    """`count` FLAC files of 10 s and their `manifest.csv`; returns its path."""
    rows = ["path,label"]
    for i in range(count):
        name = synthetic.CLASS_NAMES[i % len(synthetic.CLASS_NAMES)]
        wave = synthetic.sound_event(name, seed=i, sample_rate=RATE, seconds=SECONDS)
        soundfile.write(folder / f"{i:04}.flac", wave, RATE, subtype="PCM_16")
        rows.append(f"{i:04}.flac,{name}")
    path = folder / "manifest.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def pipeline(source, features, clips):
    """A function that makes the views of one epoch."""
    dataset = data.pretraining_dataset(source, min(BATCH, clips), features=features)

    def run():
        for batch in dataset:
            keras.ops.convert_to_numpy(batch)

    return run


def parts(paths):
    """Named functions that do one part of the work for every clip."""
    waves = [audio.read(path)[0] for path in paths]
    samples = round(CROP * RATE)
    views = np.stack([wave[:samples] for wave in waves])
    frontend = audio.LogMelFilterbank(RATE, num_frames=592)
    call = compiled(frontend)
    rng = np.random.default_rng(0)

    def crop():
        for wave in waves:
            shifted = np.roll(wave, rng.integers(len(wave)))
            for _ in range(VIEWS):
                start = rng.integers(len(wave) - samples)
                shifted[start : start + samples].copy()

    return {
        "decode FLAC": lambda: [audio.read(path) for path in paths],
        f"resample {OTHER_RATE} to {RATE} Hz": lambda: [
            librosa.resample(
                wave, orig_sr=OTHER_RATE, target_sr=RATE, res_type="soxr_hq"
            )
            for wave in waves
        ],
        "shift and crop in memory": crop,
        "filterbank of two views": lambda: [
            call(view) for view in views for _ in range(VIEWS)
        ],
    }


def compiled(frontend):
    """The filterbank as a function from numpy to numpy."""
    if keras.backend.backend() == "jax":
        import jax

        run = jax.jit(lambda wave: frontend(wave))
        return lambda wave: np.asarray(run(wave))
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        run = tf.function(lambda wave: frontend(wave))
        return lambda wave: run(wave).numpy()
    return lambda wave: keras.ops.convert_to_numpy(frontend(wave))


def log_mel(wave):
    """Kaldi's log-mel `[592, 128]` of a view of 6 s, in plain numpy."""
    wave = wave - wave.mean()
    frames = np.lib.stride_tricks.sliding_window_view(wave, 800)[::320]
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    framed = (frames - PREEMPHASIS * before) * np.hanning(800).astype("float32")
    power = np.abs(np.fft.rfft(framed, 1024)) ** 2
    mel = mel_weights(128, 1024, RATE, 20.0, RATE / 2)
    return np.log(np.maximum(power @ mel, FLOOR))[:592]


def plain_loop(paths, load):
    """The whole work without this library: load, shift, crop, log-mel in numpy."""
    samples, rng = round(CROP * RATE), np.random.default_rng(0)

    def run():
        for path in paths:
            wave = np.roll(load(path), rng.integers(RATE))
            starts = rng.integers(len(wave) - samples, size=VIEWS)
            np.stack([log_mel(wave[start : start + samples]) for start in starts])

    return run


def measured(functions, clips, turns):
    """CPU and wall milliseconds a clip of every function: medians of the turns."""
    cpu, wall = ({name: [] for name in functions} for _ in range(2))
    for turn in range(turns + 1):
        for name, function in functions.items():
            start = time.process_time(), time.perf_counter()
            function()
            if turn > 0:  # the first one traces, compiles and fills caches
                cpu[name].append(time.process_time() - start[0])
                wall[name].append(time.perf_counter() - start[1])
    per_clip = 1000 / clips
    return {
        name: (np.median(cpu[name]) * per_clip, np.median(wall[name]) * per_clip)
        for name in functions
    }


def link_clips(folder, paths, rows):
    """A CSV of `rows` rows, each a file of its own: hard links of the clips."""
    path = folder / "many.csv"
    with open(path, "w") as file:
        file.write("path,label,fold,split,speaker,sample_rate,frames\n")
        for i in range(rows):
            if i % LINKS_A_FOLDER == 0:
                (folder / f"part{i // LINKS_A_FOLDER:04}").mkdir()
            name = f"part{i // LINKS_A_FOLDER:04}/{i:08}.flac"
            os.link(paths[i % len(paths)], folder / name)
            label = synthetic.CLASS_NAMES[i % 12]
            file.write(f"{name},{label},{i % 5},train,s{i % 999},32000,320000\n")
    return path


def read_large_manifest(path):
    """What a process of its own prints: seconds and peak memory of its work."""
    start = time.perf_counter()
    manifest = data.read_manifest(path)
    loaded, memory = time.perf_counter() - start, machine.peak_rss_gb()
    start = time.perf_counter()
    next(iter(data.pretraining_dataset(manifest, min(BATCH, len(manifest)))))
    first = time.perf_counter() - start
    return {
        "rows": len(manifest),
        "load": loaded,
        "load_gb": memory,
        "first_batch": first,
        "first_batch_gb": machine.peak_rss_gb(),
    }


def shards_of(manifest, folder):
    """The folder of shards, and the seconds that writing them took."""
    start = time.perf_counter()
    data.shards.write(manifest, folder, shard_size="16MB", sample_rate=RATE)
    return folder, time.perf_counter() - start


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=192)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--rows", type=int, default=0, help="of a large manifest")
    parser.add_argument("--read", help=argparse.SUPPRESS)
    settings = parser.parse_args(arguments)
    if settings.read:
        print(json.dumps(read_large_manifest(settings.read)))
        return
    print(about(machine.description()))
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        manifest = write_clips(folder, settings.clips)
        paths = sorted(str(path) for path in folder.glob("*.flac"))
        if settings.rows:
            print(large_manifest(folder, paths, settings.rows))
            return
        shards, seconds = shards_of(manifest, folder / "shards")
        print(f"asit shards: {1000 * seconds / settings.clips:.1f} ms a clip, wall")
        functions = {
            **parts(paths),
            "plain loop, soundfile": plain_loop(
                paths, lambda path: soundfile.read(path, dtype="float32")[0]
            ),
            "plain loop, librosa": plain_loop(
                paths, lambda path: librosa.load(path, sr=RATE)[0]
            ),
        }
        for name, source in (("FLAC", manifest), ("shards", shards)):
            for features in ("fbank", "waveform"):
                functions[f"pipeline, {name} to {features}"] = pipeline(
                    source, features, settings.clips
                )
        for name, (cpu, wall) in measured(
            functions, settings.clips, settings.turns
        ).items():
            print(
                f"{name:32s} CPU {cpu:6.2f} ms a clip  wall {wall:6.2f} ms  "
                f"{1000 / cpu:7.0f} clips/s of a core"
            )


def large_manifest(folder, paths, rows):
    """One line on what a manifest of so many rows costs."""
    path = link_clips(folder, paths, rows)
    command = [sys.executable, "-m", "benchmarks.data", "--read", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    return (
        f"{found['rows']:,} rows: loaded in {found['load']:.1f} s, "
        f"{found['load_gb']:.2f} GB; first batch {found['first_batch']:.1f} s later, "
        f"{found['first_batch_gb']:.2f} GB"
    )


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()
