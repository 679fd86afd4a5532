"""Logical CPU devices, in one process or in two, each of them started by `start`."""

import json
import os
import socket
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
DEVICES = {  # of a process
    "one": 1, "mirrored": 2, "workers": 1, "data_parallel": 4, "model_parallel": 4,
}  # fmt: skip


def start(driver, kind, *arguments, backend, processes=1):
    """Starts a driver in processes of its own: collectives do not mix in one.

    Args:
        driver: Path of the driver, which gets kind, arguments and number of process.
        kind: A key of `DEVICES`.
        *arguments: Further arguments, strings.
        backend: Keras' backend.
        processes: How many.
    """
    ports = _free_ports(processes)
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count="
    base = {k: v for k, v in os.environ.items() if k != "TF_NUM_INTEROP_THREADS"}
    base |= {
        "KERAS_BACKEND": backend,
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiles sooner
        "XLA_FLAGS": f"{flags}{DEVICES[kind.partition('/')[0]] // processes or 1}",
    }
    return [
        subprocess.Popen(
            [sys.executable, str(driver), kind, *map(str, arguments), str(number)],
            env=base | _of_process(number, ports) if processes > 1 else base,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(processes)
    ]


def finish(started):
    """Waits for processes; fails with what they printed where one failed."""
    outputs = [process.communicate()[0] for process in started]
    for process, output in zip(started, outputs):
        assert process.returncode == 0, output[-9000:]


def _free_ports(number):
    sockets = [socket.socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _of_process(number, ports):
    """Where the processes meet, for either backend."""
    addresses = [f"127.0.0.1:{port}" for port in ports]
    task = {"type": "worker", "index": number}
    return {
        "TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": task}),
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": addresses[0],
        "KERAS_DISTRIBUTION_NUM_PROCESSES": str(len(ports)),
        "KERAS_DISTRIBUTION_PROCESS_ID": str(number),
    }


def strategy(kind):
    """The `tf.distribute` strategy; on JAX the distribution is set, and None."""
    if os.environ["KERAS_BACKEND"] == "jax":
        _set_distribution(kind)
        return None
    import tensorflow as tf

    if kind == "workers":
        return tf.distribute.MultiWorkerMirroredStrategy()
    cpu = tf.config.list_physical_devices("CPU")[0]
    two = [tf.config.LogicalDeviceConfiguration()] * 2
    tf.config.set_logical_device_configuration(cpu, two)
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


def scope(found):
    """The scope of what `strategy` gave."""
    return found.scope() if found else nullcontext()


def _set_distribution(kind):
    import keras

    if "KERAS_DISTRIBUTION_PROCESS_ID" in os.environ:
        import jax

        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        keras.distribution.initialize()
    shared_out = {"auto_shard_dataset": False}
    if kind == "data_parallel":
        chosen = keras.distribution.DataParallel(**shared_out)
    else:
        from keras_asit.distribution import layout_map

        devices = keras.distribution.list_devices()
        mesh = keras.distribution.DeviceMesh((2, 2), ("batch", "model"), devices)
        layout = layout_map(mesh)
        chosen = keras.distribution.ModelParallel(layout_map=layout, **shared_out)
    keras.distribution.set_distribution(chosen)
