"""Checkpoints: what a stopped run needs to continue."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from sklearn_elmo.atomic_files import replacing, write_bytes
from sklearn_elmo.errors import SklearnElmoWarning, TrainingError
from sklearn_elmo.messages import warn_caller
from sklearn_elmo.pretraining.verified_files import (
    DamagedFileError,
    append_digest,
    read_verified,
)

__all__ = [
    "CHECKPOINT_NAME",
    "METRICS_NAME",
    "PREVIOUS_NAME",
    "check_signature",
    "load_checkpoint",
    "save_checkpoint",
    "write_history",
    "writing_errors",
]

CHECKPOINT_NAME = "checkpoint.pt"
PREVIOUS_NAME = "checkpoint-previous.pt"
METRICS_NAME = "metrics.jsonl"


@contextlib.contextmanager
def writing_errors(folder: Path) -> Iterator[None]:
    """Turn errors of writing to the folder of a run into a TrainingError."""
    try:
        yield
    except (OSError, RuntimeError) as error:  # torch's zip writer raises the latter
        message = (
            f"The files of the run cannot be written to {str(folder)!r} ({error}); the "
            "last good checkpoint, if any, is kept. Free some space or remove what is "
            "in the way, and call fit again to continue."
        )
        raise TrainingError(message) from error


def save_checkpoint(folder: Path, content: dict[str, Any]) -> None:
    """Add a checkpoint to a folder; the previous one is kept beside it.

    The new checkpoint is read back before it replaces another one.

    Parameters
    ----------
    folder : Path
    content : dict
        Tensors, numbers, strings, and dicts and lists of these.

    Raises
    ------
    TrainingError
        The checkpoint cannot be written; the earlier ones are unchanged.
    """
    current = folder / CHECKPOINT_NAME
    with writing_errors(folder), replacing(current) as temporary:
        torch.save(content, temporary)
        append_digest(temporary)
        if current.is_file():
            current.replace(folder / PREVIOUS_NAME)


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Return the last good checkpoint of a folder, or None if there is no checkpoint.

    If the last one is damaged, a warning says so and the previous one is returned.

    Raises
    ------
    TrainingError
        All checkpoints are damaged.
    """
    damaged: list[str] = []
    for name in (CHECKPOINT_NAME, PREVIOUS_NAME):
        path = folder / name
        if not path.exists():
            continue
        try:
            content = _read(path)
        except DamagedFileError as error:
            damaged.append(f"{str(path)!r} is damaged ({error})")
            continue
        if damaged:
            message = (
                f"The checkpoint {damaged[0]}; training continues from the previous "
                f"one, at step {content['progress']['step']}."
            )
            warn_caller(message, SklearnElmoWarning)
        return content
    if not damaged:
        return None
    message = (
        f"The checkpoint {' and '.join(damaged)}, and there is no good one to continue "
        "from. Delete it to start again, or choose another checkpoint_dir."
    )
    raise TrainingError(message)


def check_signature(
    folder: Path | None, checkpoint: Mapping[str, Any], expected: Mapping[str, Any]
) -> None:
    """Refuse the checkpoint of another run.

    Parameters
    ----------
    folder : Path
        For the message.
    checkpoint : mapping
    expected : mapping
        What the signature of the checkpoint has to contain.

    Raises
    ------
    TrainingError
    """
    remedy = "Choose another checkpoint_dir, or delete it."
    found = checkpoint.get("signature")
    if not isinstance(found, dict):
        message = (
            f"The checkpoint in {str(folder)!r} is not of a training run. {remedy}"
        )
        raise TrainingError(message)
    for name, value in expected.items():
        if name not in found:
            reason = f"an earlier version, which did not note its {name}"
        elif found[name] != value:
            reason = f"another run: its {name} differs{_values(found[name], value)}"
        else:
            continue
        message = f"The checkpoint in {str(folder)!r} is of {reason}. {remedy}"
        raise TrainingError(message)


def _values(found: Any, now: Any) -> str:
    """Return both values, if they are short."""
    are_numbers = all(type(value) in (int, float, type(None)) for value in (found, now))
    return f" ({found}, now {now})" if are_numbers else ""


def _read(path: Path) -> dict[str, Any]:
    content = read_verified(path)
    try:
        loaded: dict[str, Any] = torch.load(
            content, map_location="cpu", weights_only=True
        )
    # The digest is right, so that only another version of PyTorch can be the reason.
    except Exception as error:
        message = f"{type(error).__name__}: this version of PyTorch cannot read it"
        raise DamagedFileError(message) from error
    return loaded


def write_history(folder: Path, rows: list[dict[str, Any]]) -> None:
    """Write the course of a training, one JSON object per line."""
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    write_bytes(folder / METRICS_NAME, lines.encode())
