"""Apache Beam and its options, as words of a command line."""

import contextlib
import importlib.util
import io
import logging

INSTALL = "pip install 'keras-asit[shards]'"
_LOCAL = ("directrunner", "direct")


def require_beam():
    """Raises ImportError, with the cure, where the extra `shards` is missing."""
    for module in ("apache_beam", "google_crc32c"):
        try:
            missing = importlib.util.find_spec(module) is None
        except ModuleNotFoundError:
            missing = True
        if missing:
            raise ImportError(
                f"Writing shards needs Apache Beam ({module} is not installed): "
                f"{INSTALL}",
                name=module,
            )


def parse_options(arguments):
    """Beam's options from words such as `--runner=FlinkRunner`.

    Without a runner the pipeline runs on this machine, by default in this process;
    more than one worker are processes of their own.

    Args:
        arguments: A sequence of strings.

    Returns:
        `(options, is_local)`.

    Raises:
        ValueError: for a word that belongs to no option, a number of workers below 0,
            or an option that neither we nor Beam know. Other runners may have options
            of their own, so there it is left to them.
    """
    _refuse(_strays(arguments))
    with logging_disabled():
        from apache_beam.options import pipeline_options as beam

        options = _from_words(beam.PipelineOptions, list(arguments))
        standard = options.view_as(beam.StandardOptions)
        if (standard.runner or "direct").lower() not in _LOCAL:
            return options, False
        every = options.get_all_options(retain_unknown_options=True)
        unknown = set(every).difference(options.get_all_options())
    words = [word.partition("=")[0] for word in arguments]
    _refuse([w for w in words if w.lstrip("-").replace("-", "_") in unknown])
    direct = options.view_as(beam.DirectOptions)
    if direct.direct_num_workers < 0:
        raise ValueError(
            "Expected --direct_num_workers of 1 or more, or 0 for one a processor. "
            f"Received: {direct.direct_num_workers}"
        )
    if direct.direct_num_workers != 1 and direct.direct_running_mode == "in_memory":
        direct.direct_running_mode = "multi_processing"
    # DirectRunner first tries Prism, a program that it fetches from the network. It
    # does not with this option, which has no other effect where nothing is triggered.
    options.view_as(beam.TypeOptions).allow_unsafe_triggers = True
    standard.runner = "DirectRunner"
    return options, True


def _strays(words):
    """Words that are neither options nor the value of the option before them."""
    return [
        word
        for before, word in zip(["", *words], words)
        if not word.startswith("-") and (not before.startswith("-") or "=" in before)
    ]


def _refuse(words):
    if words:
        raise ValueError(
            "Expected options of asit shards or of Apache Beam. Received: "
            + ", ".join(words)
        )


def _from_words(parser, words):
    """Beam's parser ends the program at a wrong value; here it is a ValueError."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options = parser(words)
            options.get_all_options()
    except SystemExit:
        reason = said.getvalue().strip().rpartition("error: ")[2]
        raise ValueError(f"Expected options of Apache Beam: {reason}") from None
    return options


@contextlib.contextmanager
def logging_disabled():
    """Beam warns of packages that it would need for Google Cloud."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
