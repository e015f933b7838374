"""What a stopped run needs to go on."""

import contextlib
import json
import os
import pickle
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import torch

from sklearn_elmo.errors import TrainingError

__all__ = ["CHECKPOINT_NAME", "load_checkpoint", "save_checkpoint", "write_text"]

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
        with _replacing(folder / CHECKPOINT_NAME) as file:
            torch.save(content, file)
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


def write_text(path: Path, text: str) -> None:
    """Replace a small file, which is whole at any instant."""
    with _replacing(path) as file:
        file.write(text.encode("utf-8"))


def to_json_lines(rows: list[dict[str, Any]]) -> str:
    """Return one JSON object a line."""
    return "".join(json.dumps(row) + "\n" for row in rows)


@contextlib.contextmanager
def _replacing(target: Path) -> Iterator[IO[bytes]]:
    """Give a file that gets its name when all of it is on disk."""
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
