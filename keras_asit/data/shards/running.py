"""The shards of a set as a Beam pipeline, on this machine or on any runner."""

import contextlib
import sys

from keras_asit.data.shards.one_shard import write_shard
from keras_asit.data.shards.watching import (
    interrupted_by_lost_worker,
    plain_errors,
    progress,
    stderr_set_aside,
)


def run(tasks, job, options, is_local):
    """Writes shards; returns when Beam is done.

    Args:
        tasks: List of tasks of `write_shard`.
        job: Its `Job`.
        options: `PipelineOptions`.
        is_local: Whether the pipeline runs on this machine, without a server.

    Raises:
        ShardError: where a shard cannot be written, or a runner elsewhere fails.
            Shards that are finished stay.
    """
    import apache_beam as beam

    with contextlib.ExitStack() as within:
        screen = within.enter_context(stderr_set_aside()) if is_local else sys.stderr
        within.enter_context(progress(job.folder, len(tasks), screen))
        if is_local:
            within.enter_context(interrupted_by_lost_worker())
        within.enter_context(plain_errors(is_local))
        pipeline = beam.Pipeline(options=options)
        numbers = pipeline | "plan" >> beam.Create(tasks) | beam.Reshuffle()
        _ = numbers | "write shards" >> beam.Map(write_shard, job)
        pipeline.run().wait_until_finish()
