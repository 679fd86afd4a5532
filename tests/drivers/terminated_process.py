"""One of two processes gets SIGTERM; both save the same step and end with status 0.

python tests/drivers/terminated_process.py FOLDER PORT NUMBER
"""

import os
import signal
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent


def main(folder, port, number):
    import jax

    jax.distributed.initialize(f"127.0.0.1:{port}", 2, int(number))
    import keras
    import numpy as np

    from keras_asit.callbacks import Checkpoint

    keras.distribution.set_distribution(
        keras.distribution.DataParallel(auto_shard_dataset=False)
    )

    class Terminate(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 3 and number == "1":
                os.kill(os.getpid(), signal.SIGTERM)

    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    x = np.ones((2, 3), "float32")
    model.fit(
        ((x, x[:, :2]) for _ in range(1000)),
        steps_per_epoch=1000,
        verbose=0,
        callbacks=[Terminate(), Checkpoint(folder)],
    )
    sys.exit("it trained to its end")


if __name__ == "__main__":
    sys.path[:0] = [str(TESTS), str(TESTS.parent)]
    main(*sys.argv[1:])
