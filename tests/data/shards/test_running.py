"""Options of Beam, and what becomes of its errors, its talk and its lost workers."""

import logging
import os
import sys
import threading
import time

import pytest

from keras_asit.data.shards import running
from keras_asit.data.shards.one_shard import ShardError

pytestmark = pytest.mark.backend_free
beam_options = pytest.importorskip("apache_beam.options.pipeline_options")


def direct(options):
    return options.view_as(beam_options.DirectOptions)


def test_one_worker_on_this_machine_by_default():
    options, is_local = running.parse_options([])
    assert is_local
    assert direct(options).direct_num_workers == 1
    assert direct(options).direct_running_mode == "in_memory"


@pytest.mark.parametrize(
    ("words", "mode"),
    [
        ("--direct_num_workers=2", "multi_processing"),
        ("--direct_num_workers=0", "multi_processing"),
        ("--runner DirectRunner --direct_num_workers 3", "multi_processing"),
        (
            "--direct_num_workers=2 --direct_running_mode=multi_threading",
            "multi_threading",
        ),
    ],
)
def test_more_workers_are_processes(words, mode):
    options, is_local = running.parse_options(words.split())
    assert is_local
    assert direct(options).direct_running_mode == mode


@pytest.mark.parametrize(
    "words",
    [
        "--runner=FlinkRunner --flink_master=host:8081 --parallelism=64",
        "--runner=SparkRunner --spark_master_url=spark://host:7077",
        "--runner=DataflowRunner --project=p --region=europe-west4",
        "--runner=PortableRunner --job_endpoint=host:8099 --an_option_of_the_server=1",
    ],
)
def test_other_runners_get_their_options(words):
    options, is_local = running.parse_options(words.split())
    assert not is_local
    found = options.get_all_options(retain_unknown_options=True)
    for word in words.split():
        name, _, value = word.removeprefix("--").partition("=")
        assert str(found[name]) in (value, f"http://{value}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--shard-sise=1GB"], "--shard-sise"),
        (["--direct_num_worker", "2"], "--direct_num_worker"),
        (["--quiet"], "--quiet"),
        (["--direct_num_workers=two"], "invalid int value: 'two'"),
    ],
)
def test_wrong_options_are_refused(words, said, capfd):
    with pytest.raises(ValueError, match=f"Expected options of .*{said}"):
        running.parse_options(words)
    assert capfd.readouterr().err == ""
    assert logging.root.manager.disable == 0


@pytest.mark.parametrize(
    ("error", "raised", "said"),
    [
        (
            ShardError("shard 3 cannot be written: disk [while running 'write shards']"),
            ShardError,
            "^shard 3 cannot be written: disk. Mend this and run the same command again",
        ),
        (
            RuntimeError("Traceback\n  x\na.b.ShardError: full [while running 'write']\n"),
            ShardError,
            "^full. Mend this",
        ),
        (RuntimeError("KeyboardInterrupt [while running 'x']"), KeyboardInterrupt, None),
        (RuntimeError("something else"), RuntimeError, "^something else$"),
    ],
)
def test_errors_of_workers(error, raised, said):
    with pytest.raises(raised, match=said), running._plain_errors():
        raise error


@pytest.mark.parametrize("error", [None, ShardError("full"), ValueError("odd")])
def test_talk_is_shown_only_where_it_may_help(capfd, error):
    try:
        with running._stderr_set_aside() as screen:
            os.write(2, b"talk\n")
            print("bar", file=screen)
            if error:
                raise error
    except type(error) as raised:
        assert raised is error
    os.write(2, b"after\n")
    talk = "talk\n" if isinstance(error, ValueError) else ""
    assert capfd.readouterr().err == f"bar\n{talk}after\n"


def test_lost_worker_ends_the_run():
    def fail():
        time.sleep(0.05)
        raise RuntimeError("Worker subprocess exited with return code -9")

    hook = threading.excepthook
    with pytest.raises(ShardError, match="return code -9.*run the same command again"):
        with running._interrupted_by_lost_worker():
            threading.Thread(target=fail).start()
            time.sleep(30)
    assert threading.excepthook is hook


def test_ctrl_c_stays_what_it_is():
    with pytest.raises(KeyboardInterrupt), running._interrupted_by_lost_worker():
        raise KeyboardInterrupt


@pytest.mark.parametrize("module", ["apache_beam", "google_crc32c"])
def test_missing_package(monkeypatch, module):
    running.require_beam()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install 'keras-asit\[shards\]'"):
        running.require_beam()
