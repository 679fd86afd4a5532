"""No clip that is held out may be among those that are trained on."""

import hashlib
import os
from pathlib import Path

LONG_NAME = 8  # characters of a name that two sets do not share by chance
BEGINNING = 4096  # bytes of a file that tell most clips apart


def check_apart(held_out, others, what):
    """Raises where a clip is in two sets: the same file, its copy, or its name.

    ESC-10's `1-100032-A.ogg` is ESC-50's `1-100032-A-0.wav`: a name of some length that
    another one begins with counts as the same clip.

    Args:
        held_out: `Manifest` of clips that are scored.
        others: `Manifest` of clips that are trained on.
        what: What the others are, in words.

    Raises:
        ValueError: If they share a clip.
    """
    shared = _shared(list(held_out.paths), list(others.paths))
    if shared:
        ours, theirs = shared[0]
        raise ValueError(
            f"{len(shared)} clips that are scored are among {what} too, {ours} as "
            f"{theirs} for example. Leave them out of the manifest of {what}."
        )


def digest(manifest):
    """What tells whether a manifest is the same: its clips' names, labels and number.

    Args:
        manifest: A `Manifest`.
    """
    text = hashlib.sha256()
    for path, label in zip(manifest.paths, manifest.labels, strict=True):
        text.update(f"{Path(path).name}\t{label}\n".encode())
    return f"{len(manifest)} clips, {text.hexdigest()[:12]}"


def _shared(ours, theirs):
    """Pairs of paths of what is one clip."""
    real = {os.path.realpath(path): path for path in ours}
    names = {Path(path).stem: path for path in ours if _is_long(path)}
    beginnings = {}
    for path in ours:
        beginnings.setdefault(_beginning(path), []).append(path)
    found = []
    for path in theirs:
        same = real.get(os.path.realpath(path)) or _same_name(path, names)
        same = same or _same_content(path, beginnings)
        if same:
            found.append((same, path))
    return found


def _is_long(path):
    return len(Path(path).stem) >= LONG_NAME


def _same_name(path, names):
    stem = Path(path).stem
    parts = stem.split("-")
    beginnings = ("-".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((names[name] for name in beginnings if name in names), None)


def _same_content(path, beginnings):
    """A copy. Clips of one length have one size: few of them are read to their end."""
    beginning = _beginning(path)
    candidates = beginnings.get(beginning)
    if beginning is None or not candidates:
        return None
    content = Path(path).read_bytes()
    return next((c for c in candidates if Path(c).read_bytes() == content), None)


def _beginning(path):
    """Size and first bytes; None of a file that is not there."""
    try:
        with open(path, "rb") as file:
            return os.fstat(file.fileno()).st_size, file.read(BEGINNING)
    except OSError:
        return None
