"""Which words are options of Beam, and where its pipelines run."""

import logging
import sys

import pytest

from keras_asit.data.shards.beam_options import parse_options, require_beam

pytestmark = pytest.mark.backend_free
beam = pytest.importorskip("apache_beam.options.pipeline_options")


def direct(options):
    return options.view_as(beam.DirectOptions)


def test_one_worker_on_this_machine_by_default():
    options, is_local = parse_options([])
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
    options, is_local = parse_options(words.split())
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
    options, is_local = parse_options(words.split())
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
        (["junk"], "Received: junk"),
        (["--direct_num_workers=2", "junk"], "Received: junk"),
        (["--direct_num_workers", "2", "junk"], "Received: junk"),
        (["--runner=FlinkRunner", "junk"], "Received: junk"),
    ],
)
def test_wrong_options_are_refused(words, said, capfd):
    with pytest.raises(ValueError, match=f"Expected options of .*{said}"):
        parse_options(words)
    assert capfd.readouterr().err == ""
    assert logging.root.manager.disable == 0


@pytest.mark.parametrize(
    "words", [["--direct_num_workers=-1"], ["--direct_num_workers", "-1"]]
)
def test_workers_below_none_are_refused(words):
    with pytest.raises(ValueError, match=r"Expected --direct_num_workers of.*: -1"):
        parse_options(words)


@pytest.mark.parametrize("module", ["apache_beam", "google_crc32c"])
def test_missing_package(monkeypatch, module):
    require_beam()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r"pip install 'keras-asit\[shards\]'"):
        require_beam()
