"""A short pretraining run that may be killed and started again.

    python tests/drivers/short_run.py CLIPS CHECKPOINTS OUT.npz

It prints `step` after each, and `saving` where a checkpoint is written and has no name
yet, for a while. It resumes from the checkpoints, and writes its state at the end.
"""

import os
import stat
import sys
import time
from pathlib import Path

import numpy as np

CLIPS, BATCH, EPOCHS = 8, 2, 3
STEPS = CLIPS // BATCH


def write_clips(folder):
    """Writes noise of several lengths; returns its paths."""
    import soundfile

    for i in range(CLIPS):
        wave = np.random.default_rng(i).uniform(-0.5, 0.5, 9000 + 500 * i)
        soundfile.write(folder / f"{i}.wav", wave, 16000)
    return sorted(map(str, folder.iterdir()))


def run(paths, callbacks=(), seed=0, options=None, epochs=EPOCHS, **arguments):
    """The trained model; its first weights follow from the seed."""
    import keras

    from keras_asit.callbacks import EMATeacher
    from keras_asit.data import pretraining_dataset
    from keras_asit.optimizers import pretraining_optimizer
    from tiny_asit import tiny_backbone, tiny_pretrainer

    keras.utils.set_random_seed(seed)
    model = tiny_pretrainer(backbone=tiny_backbone(num_layers=1), **(options or {}))
    model.compile(
        pretraining_optimizer(
            batch_size=256,
            epochs=epochs,
            steps_per_epoch=STEPS,
            base_learning_rate=1e-2,
        ),
        jit_compile="auto" if keras.backend.backend() == "jax" else False,
    )
    views = pretraining_dataset(
        paths, BATCH, sample_rate=16000, crop_seconds=0.49,
        frontend=model.student.frontend,
    )  # fmt: skip
    teacher = EMATeacher(0.5, temperature_epochs=epochs)
    model.fit(
        views, epochs=epochs, verbose=0, callbacks=[teacher, *callbacks], **arguments
    )
    return model


def state(model):
    """All that training changes, as arrays."""
    from keras_asit import checkpoints

    return checkpoints.values_of(checkpoints.variables_of(model))


def main(clips, folder, out):
    import keras

    from keras_asit.callbacks import Checkpoint

    sync = os.fsync

    def slow(file):
        if not stat.S_ISDIR(os.fstat(file).st_mode):
            print("saving\n", end="", flush=True)
            time.sleep(0.1)
        sync(file)

    os.fsync = slow

    class Told(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            print("step\n", end="", flush=True)  # one piece: a thread prints, too

    paths = sorted(map(str, Path(clips).iterdir()))
    is_begun = any(Path(folder).glob("*.ckpt"))  # its first weights matter no more
    seed = int.from_bytes(os.urandom(4), "little") if is_begun else 0
    callbacks = [Told(), Checkpoint(folder, every=1)]
    model = run(paths, callbacks, seed=seed, epochs=15, resume=folder)
    np.savez(out, *state(model))


if __name__ == "__main__":
    tests = Path(__file__).resolve().parent.parent
    sys.path[:0] = [str(tests), str(tests.parent)]
    main(*sys.argv[1:])
