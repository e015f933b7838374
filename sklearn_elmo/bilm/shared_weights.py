"""One copy of a model's prepared weights for all processes of a machine."""

import contextlib
import hashlib
import json
import logging
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch
from filelock import FileLock

from sklearn_elmo.bilm.prepared_file import can_be_mapped, map_weights, save_weights
from sklearn_elmo.bilm.prepared_weights import PreparedWeights
from sklearn_elmo.bilm.products import Precision
from sklearn_elmo.errors import ModelFileError

__all__ = ["shared_weights"]

logger = logging.getLogger(__name__)

# Raise it with every change of what a file of the same model holds.
_VERSION = 1
# Below this a file is not worth its place: building takes some milliseconds.
_LEAST_BYTES = 8 * 2**20
# Two `original` models in float32 and some small ones.
_MOST_BYTES = 2**30
_PATIENCE = 30  # seconds for another process to write what this one needs too
_ABANDONED = 3600  # seconds after which nobody is writing a file any more


def shared_weights(
    folder: Path, digest: str, precision: Precision, make: Callable[[], PreparedWeights]
) -> PreparedWeights:
    """Return a model's weights for the CPU, mapped from a file where that is possible.

    Parameters
    ----------
    folder : Path
        For the files, which are made here, checked when they are read, and removed
        when they take too much room: those first that have not been used for longest.
    digest : str
        Of the model.
    precision : {"float32", "bfloat16", "int8"}
    make : callable
        Makes the weights. Called if there is no sound file.
    """
    path = folder / f"{_key(digest, precision)}.hdf5"
    weights = _map(path)
    if weights is not None:
        return weights
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock", _PATIENCE, fallback_to_soft=False):
            return _map(path) or _make_and_map(path, make)
    except (OSError, NotImplementedError) as error:  # no place, no locks, no patience
        logger.info("the prepared weights stay in this process's memory: %s", error)
        return make()


def _make_and_map(path: Path, make: Callable[[], PreparedWeights]) -> PreparedWeights:
    weights = make()
    if weights.n_bytes < _LEAST_BYTES or not can_be_mapped(weights):
        return weights
    try:
        save_weights(path, weights)
    except OSError as error:
        logger.info("the prepared weights stay in this process's memory: %s", error)
        return weights
    _make_room(path)
    return _map(path) or weights


def _map(path: Path) -> PreparedWeights | None:
    """Return weights, or None if there is no sound file."""
    try:
        weights = map_weights(path)
    except FileNotFoundError:
        return None
    except (ModelFileError, OSError) as error:
        logger.info("making the prepared weights anew: %s", error)
        return None
    with contextlib.suppress(OSError):  # a folder that may only be read
        os.utime(path)
    return weights


def _key(digest: str, precision: Precision) -> str:
    """Name what the form of weights depends on.

    Each machine has files of its own: a mapped file that another machine removes from a
    shared folder would be gone under the reader's hands.
    """
    parts = [_VERSION, digest, precision, torch.__version__, platform.node()]
    described = json.dumps([*parts, _processor()])
    return hashlib.sha256(described.encode()).hexdigest()[:32]


def _processor() -> str:
    """Say which processor this is: packed weights suit one kind of it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    wanted = ("model name", "flags", "CPU part", "Features")
    return "\n".join(dict.fromkeys(row for row in lines if row.startswith(wanted)))


def _make_room(newest: Path) -> None:
    """Remove what a killed process left, and files that were unused for longest."""
    files = []
    for path in newest.parent.iterdir():
        with contextlib.suppress(OSError):  # another process removes it too
            status = path.stat()
            if path.suffix == ".hdf5":
                files.append((status.st_mtime, status.st_size, path))
            elif path.suffix == ".tmp" and status.st_mtime < time.time() - _ABANDONED:
                path.unlink()
    n_bytes = 0
    for _, size, path in sorted(files, reverse=True):
        n_bytes += size
        if n_bytes > _MOST_BYTES and path != newest:
            with contextlib.suppress(OSError):  # Windows: somebody reads it
                path.unlink()
