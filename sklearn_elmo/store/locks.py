"""Locks that only save work: never waited for without end, never needed to be right."""

from contextlib import ExitStack
from pathlib import Path

from filelock import FileLock, Timeout

LOCK_FOLDER = "locks"


def lock(held: ExitStack, folder: Path, name: str, timeout_s: float = 0) -> bool:
    """Hold lock `name` of `folder` until `held` closes; False if somebody else does.

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
        held.enter_context(
            FileLock(path, timeout_s, poll_interval=0.005, fallback_to_soft=False)
        )
    except Timeout:
        return False
    except NotImplementedError as error:
        raise OSError(*error.args) from error
    return True
