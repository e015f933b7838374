"""One copy of a model's prepared weights for all processes of a machine."""

import contextlib
import hashlib
import json
import logging
import os
import platform
from collections.abc import Callable
from pathlib import Path

import torch

from sklearn_elmo.bilm.prepared_weights import PreparedWeights
from sklearn_elmo.bilm.products import Precision
from sklearn_elmo.bilm.weight_file import can_be_mapped, map_weights, save_weights
from sklearn_elmo.errors import ModelFileError

__all__ = ["shared_weights"]

logger = logging.getLogger(__name__)

# Raise it with every change of what `Encoder.weights_of` returns.
_VERSION = 1
# Below this a file is not worth its place: building takes some milliseconds.
_LEAST_BYTES = 8 * 2**20
# Two `original` models in float32 and some small ones.
_MOST_BYTES = 2**30


def shared_weights(
    folder: Path, digest: str, precision: Precision, make: Callable[[], PreparedWeights]
) -> PreparedWeights:
    """Return a model's weights for the CPU, mapped from a file where that is possible.

    Parameters
    ----------
    folder : Path
        For the files, which are made here, checked when they are read, and removed
        when there are too many: those that have not been used for longest.
    digest : str
        Of the model.
    precision : {"float32", "bfloat16", "int8"}
    make : callable
        Makes the weights. Called if there is no sound file.
    """
    path = folder / f"{_key(digest, precision)}.hdf5"
    try:
        return _map(path)
    except FileNotFoundError:
        pass
    except (ModelFileError, OSError) as error:
        logger.info("making the prepared weights anew: %s", error)
    weights = make()
    if weights.n_bytes < _LEAST_BYTES or not can_be_mapped(weights):
        return weights
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_weights(path, weights)
        _remove_oldest(folder, keep=path)
        return _map(path)
    except (ModelFileError, OSError) as error:
        logger.info("the prepared weights stay in this process's memory: %s", error)
        return weights


def _map(path: Path) -> PreparedWeights:
    weights = map_weights(path)
    with contextlib.suppress(OSError):  # a folder that may only be read
        os.utime(path)
    return weights


def _key(digest: str, precision: Precision) -> str:
    """Name what the form of weights depends on."""
    parts = [_VERSION, digest, precision, torch.__version__, _processor()]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _processor() -> str:
    """Say which processor this is: packed weights suit one kind of it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    wanted = ("model name", "flags", "CPU part", "Features")
    return "\n".join(dict.fromkeys(row for row in lines if row.startswith(wanted)))


def _remove_oldest(folder: Path, keep: Path) -> None:
    files = []
    for path in folder.glob("*.hdf5"):
        with contextlib.suppress(OSError):  # another process removes it too
            files.append((path.stat(), path))
    n_bytes = 0
    for status, path in sorted(files, key=lambda file: -file[0].st_mtime):
        n_bytes += status.st_size
        if n_bytes > _MOST_BYTES and path != keep:
            with contextlib.suppress(OSError):  # Windows: somebody reads it
                path.unlink()
