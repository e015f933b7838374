"""Locks that only save work: never waited for without end, never needed to be right."""

from contextlib import ExitStack
from pathlib import Path

from filelock import FileLock, Timeout

LOCK_FOLDER = "locks"


def try_lock(held: ExitStack, folder: Path, name: str) -> bool:
    """Hold lock `name` of `folder` until `held` closes, if nobody else holds it.

    These are the kernel's locks: it frees those of a dead process. Where there are
    none, no other kind is used in their place.

    Raises
    ------
    OSError
        If there can be no locks here.
    """
    path = folder / LOCK_FOLDER / name
    path.parent.mkdir(exist_ok=True)
    try:
        held.enter_context(FileLock(path, timeout=0, fallback_to_soft=False))
    except Timeout:
        return False
    except NotImplementedError as error:
        raise OSError(*error.args) from error
    return True
