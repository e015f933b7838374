"""What a stopped run needs to go on."""

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from sklearn_elmo.atomic_files import replacing
from sklearn_elmo.errors import TrainingError

__all__ = ["CHECKPOINT_NAME", "load_checkpoint", "save_checkpoint", "to_json_lines"]

CHECKPOINT_NAME = "checkpoint.pt"


def save_checkpoint(folder: Path, content: dict[str, Any]) -> None:
    """Replace the folder's checkpoint, which is whole at any instant.

    Parameters
    ----------
    folder : Path
    content : dict
        Tensors, numbers, strings, and dicts and lists of these.

    Raises
    ------
    TrainingError
        It cannot be written; the one before is still there.
    """
    try:
        with replacing(folder / CHECKPOINT_NAME) as temporary:
            torch.save(content, temporary)
    except (OSError, RuntimeError) as error:  # torch's zip writer raises the latter
        message = (
            f"The checkpoint cannot be written to {str(folder)!r} ({error}); the one "
            "before it, if any, is kept. Free some space, and call fit again to go on."
        )
        raise TrainingError(message) from error


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """Return the folder's checkpoint, None if it has none.

    Raises
    ------
    TrainingError
        It is damaged.
    """
    path = folder / CHECKPOINT_NAME
    if not path.exists():
        return None
    try:
        content: dict[str, Any] = torch.load(
            path, map_location="cpu", weights_only=True
        )
    except (
        RuntimeError,
        EOFError,
        pickle.UnpicklingError,
        zipfile.BadZipFile,
    ) as error:
        message = (
            f"The checkpoint {str(path)!r} is damaged ({type(error).__name__}); "
            "expected one that fit wrote. Delete it to begin anew."
        )
        raise TrainingError(message) from error
    return content


def to_json_lines(rows: list[dict[str, Any]]) -> str:
    """Return one JSON object a line."""
    return "".join(json.dumps(row) + "\n" for row in rows)
