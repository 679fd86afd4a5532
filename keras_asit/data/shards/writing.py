"""From a manifest to a folder of TFRecord shards, restartable at any moment."""

import numbers
import os
from concurrent.futures import ThreadPoolExecutor

from keras_asit.audio.files import RATES
from keras_asit.data.clips import TooManyBrokenFiles
from keras_asit.data.manifest import Manifest
from keras_asit.data.shards import beam_options, one_shard, running
from keras_asit.data.shards import plan as plans
from keras_asit.data.shards.layout import (
    CLIPS,
    FAILURES,
    INDEX,
    NUMBERS,
    PLAN,
    PLAN_JSON,
    ShardIndex,
    csv_text,
    parse_size,
    shard_name,
)
from keras_asit.data.shards.output import OutputFolder
from keras_asit.data.shards.watching import AGAIN
from keras_asit.data.sources import as_manifest, read_manifest

_FILES_LOOKED_AT = 50  # to tell whether a folder is somebody else's
_LARGEST_SEED = 2**63 - 1
_THREADS = 8  # that try again what could not be read


def write(
    source,
    out,
    shard_size="256MB",
    sample_rate=32000,
    seed=0,
    labels=None,
    allow_outside=False,
    root=None,
    max_failure_share=0.05,
    pipeline_options=(),
    where=None,
):
    """Writes the clips of a manifest as TFRecord shards, with Apache Beam.

    Decoding and resampling are then done once, and training reads a few large files
    one after the other instead of millions of small ones. Each clip becomes 16-bit
    mono samples at one rate, with labels; clips are shuffled, so that each shard is a
    sample of the set.

    It may be killed at any moment: the same call goes on, and no clip is lost or
    doubled. A clip that cannot be read is a row of `failures.csv`; a later call tries
    those again, and writes the shard anew where one can be read by then. The files
    are described in `layout.py`.

    Args:
        source: A `Manifest`, what `read_manifest` reads, or a list of audio paths.
        out: The folder to write: new, empty, or begun by the same call. A path, or
            an address that Beam can write to, such as `gs://bucket/folder`.
        shard_size: About how large a shard is to be: `"256MB"`, `"64MiB"`, or bytes.
        sample_rate: Rate of the shards, in Hz.
        seed: Integer that fixes which clip goes where.
        labels: Classes of the manifest, as `read_manifest` takes them.
        allow_outside: The same, whether clips may lie outside the manifest's folder.
        root: The same, the folder that relative paths start from. It may also be an
            address, such as `gs://bucket/esc10`: a worker then copies one file after
            the other to its own disk.
        max_failure_share: Share of the clips that may be broken in a finished set.
        pipeline_options: Options of Beam, such as `["--direct_num_workers=4"]`.
        where: Dict of what clips are to be written, by column, as `Manifest.where`
            takes it: `{"split": "train"}`. By default all.

    Returns:
        The `ShardIndex` of the set.

    Raises:
        ImportError: without the extra `shards`.
        ValueError: for wrong arguments, texts that UTF-8 cannot hold, a folder that
            holds something else, or one that was begun with other arguments.
        TooManyBrokenFiles: (a `ValueError`) when everything is written, but more
            clips are broken than may be. There is no `shards.json` then.
        ShardError: (an `OSError`) when a shard could not be written, as on a full
            disk, or the runner failed.

    Example:
        index = keras_asit.data.shards.write("esc10/manifest.csv", "esc10_shards")
        print(index.clips, "clips in", len(index.shards), "shards")
    """
    beam_options.require_beam()
    shard_size = parse_size(shard_size)
    _check_arguments(sample_rate, seed, max_failure_share)
    options, is_local = beam_options.parse_options(pipeline_options)
    folder = OutputFolder(out)
    address = str(root).rstrip("/") if "://" in str(root) else None
    manifest = _manifest(source, labels, allow_outside, None if address else root)
    manifest = manifest.where(**where) if where else manifest
    settings = (int(sample_rate), shard_size, int(seed), address)
    plan = _plan(manifest, folder, settings)
    job = one_shard.Job(
        folder=folder,
        audio_root=plan.audio_root,
        allow_outside=manifest.allow_outside,
        sample_rate=plan.sample_rate,
        class_names=plan.class_names,
        shards=plan.shards,
    )
    entries = _finished(plan, folder)
    for number in _mended(entries, job):
        folder.remove(one_shard.entry_name(number))
        del entries[number]
    folder.remove(INDEX)
    folder.make(one_shard.DONE)
    starts = enumerate(zip(plan.starts, plan.starts[1:]))
    if tasks := [(n, *span) for n, span in starts if n not in entries]:
        running.run(tasks, job, options, is_local)
        entries = _finished(plan, folder)
    if missing := plan.shards - len(entries):
        raise one_shard.ShardError(
            f"{missing} of {plan.shards} shards are not written. Look at the "
            f"runner's log, and {AGAIN}"
        )
    return _finish(plan, folder, entries, max_failure_share)


def _check_arguments(sample_rate, seed, max_failure_share):
    if not _is_whole(sample_rate, *RATES):
        raise ValueError(
            f"Expected sample_rate in Hz, a whole number of {RATES[0]} to {RATES[1]}. "
            f"Received: {sample_rate!r}"
        )
    if not _is_whole(seed, 0, _LARGEST_SEED):
        raise ValueError(
            f"Expected seed of 0 or more, a whole number. Received: {seed!r}"
        )
    is_number = isinstance(max_failure_share, numbers.Real)
    if not is_number or not 0.0 <= max_failure_share <= 1.0:
        raise ValueError(
            "Expected max_failure_share between 0 and 1. Received: "
            f"{max_failure_share!r}"
        )


def _is_whole(value, least, most):
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return is_number and least <= value <= most and value == int(value)


def _manifest(source, labels, allow_outside, root):
    if not isinstance(source, (Manifest, list, tuple)):
        return read_manifest(source, labels, allow_outside, root)
    if labels is not None or root is not None:
        raise ValueError(
            "Expected labels and root only with a source that read_manifest reads. "
            f"Received: them with a {type(source).__name__}"
        )
    return as_manifest(source)


def _plan(manifest, folder, settings):
    """The plan that the folder was begun with, or a new one."""
    if folder.exists(PLAN_JSON):
        plan = plans.read_plan(folder)
        plans.check_plan(plan, folder, manifest, *settings)
        return plan
    for name in folder.first_files(_FILES_LOOKED_AT):
        if not name.startswith(f"{PLAN}/"):  # of a plan that was not finished
            raise ValueError(
                f"Expected a new or empty folder, or one of asit shards. Received: "
                f"{folder}, which holds {name}. Name another folder"
            )
    return plans.make_plan(manifest, folder, *settings)


def _finished(plan, folder):
    """Dict of the shards that are whole, by number, to their entries."""
    shards, done = folder.sizes(), folder.sizes(one_shard.DONE)
    names = {
        number: one_shard.entry_name(number)
        for number in range(plan.shards)
        if os.path.basename(one_shard.entry_name(number)) in done
        and os.path.basename(one_shard.rows_name(number)) in done
    }
    entries = {}
    for number, text in zip(names, folder.read_all(list(names.values()))):
        entry = one_shard.parse_entry(text)
        size = shards.get(shard_name(number, plan.shards))
        if entry is not None and size == entry["bytes"]:
            entries[number] = entry
    return entries


def _mended(entries, job):
    """Numbers of the shards with a clip that could not be read, and can by now."""

    def is_mended(entry):
        return any(one_shard.reads(f["path"], job) for f in entry["failures"])

    with ThreadPoolExecutor(_THREADS) as pool:
        mended = pool.map(is_mended, entries.values())
        return [number for number, is_so in zip(entries, mended) if is_so]


def _finish(plan, folder, entries, max_failure_share):
    """Writes what is said of all shards: `shards.json` last, if all is well."""
    shards, failures, samples = [], [], 0
    for number, entry in entries.items():
        name = shard_name(number, plan.shards)
        shards.append({"name": name, "clips": entry["clips"], "bytes": entry["bytes"]})
        failures += [(f["path"], f["reason"]) for f in entry["failures"]]
        samples += entry["samples"]
    folder.write(FAILURES, csv_text([("path", "reason"), *failures]))
    share = len(failures) / plan.manifest["clips"]
    if share > max_failure_share:
        raise TooManyBrokenFiles(
            f"{len(failures)} of {plan.manifest['clips']} clips cannot be read, "
            f"{share:.1%}, where up to {max_failure_share:.1%} are let pass. The first "
            f"is {failures[0][0]}: {failures[0][1]} All are in "
            f"{folder.full(FAILURES)}. Mend them and {AGAIN}; or raise "
            "max_failure_share"
        )
    with folder.writing(CLIPS) as file:
        file.write(csv_text([(*plan.columns, *NUMBERS[1:])]).encode())
        for rows in folder.read_all([one_shard.rows_name(n) for n in entries]):
            file.write(rows)
    index = ShardIndex(
        sample_rate=plan.sample_rate,
        clips=plan.manifest["clips"] - len(failures),
        seconds=samples / plan.sample_rate,
        class_names=plan.class_names,
        multi_label=plan.multi_label,
        shards=shards,
        manifest=plan.manifest,
        shard_size=plan.shard_size,
        seed=plan.seed,
    )
    folder.write(INDEX, index.to_json())
    folder.remove_unfinished()
    return index
