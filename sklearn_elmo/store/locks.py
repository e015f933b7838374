"""Locks that only save work: nothing waits for them forever or is wrong without them.

They are the kernel's locks, which it frees when a process dies. `filelock` is not used
here because its release can raise, and a release must never end a computation.
"""

import errno
import os
import stat
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from sklearn_elmo.plain_files import NotPlainError
from sklearn_elmo.store.shared_folder import check_plain_folder

LOCK_FOLDER = "locks"

_POLL_S = 0.005
_FLAGS = os.O_RDWR | os.O_CREAT
for _flag in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_NOINHERIT"):
    _FLAGS |= getattr(os, _flag, 0)
_CONTENTION = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK, errno.EDEADLK)


def lock(held: ExitStack, folder: Path, name: str, timeout_s: float = 0) -> bool:
    """Hold lock `name` of `folder` until `held` closes.

    Returns
    -------
    bool
        False if the lock is still held elsewhere after `timeout_s`.

    Raises
    ------
    OSError
        If there can be no locks here.
    """
    path = folder / LOCK_FOLDER / name
    path.parent.mkdir(exist_ok=True)
    check_plain_folder(path.parent)
    deadline = time.monotonic() + timeout_s
    while (handle := _try_lock(path)) is None:
        if time.monotonic() >= deadline:
            return False
        time.sleep(_POLL_S)
    held.callback(_release, handle)
    return True


def _try_lock(path: Path) -> int | None:
    """Return an open handle that holds the lock; None if it is held elsewhere."""
    handle = os.open(path, _FLAGS, 0o666)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            message = "is not a plain file"
            raise NotPlainError(errno.EINVAL, message, str(path))
        _set_lock(handle, True)
        # Whoever cleared the store may have removed the file that we opened.
        if os.fstat(handle).st_nlink:
            return handle
    except OSError as error:
        os.close(handle)
        if error.errno in _CONTENTION:
            return None
        raise
    except BaseException:
        os.close(handle)
        raise
    os.close(handle)
    return None


def _release(handle: int) -> None:
    """Free a lock; if the file system is gone, closing the file has to do."""
    with suppress(OSError):
        _set_lock(handle, False)
    with suppress(OSError):
        os.close(handle)


if sys.platform == "win32":
    import msvcrt

    def _set_lock(handle: int, locked: bool) -> None:
        os.lseek(handle, 0, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK if locked else msvcrt.LK_UNLCK, 1)

else:
    try:
        import fcntl
    except ImportError:  # Emscripten has no locks

        def _set_lock(handle: int, locked: bool) -> None:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    else:

        def _set_lock(handle: int, locked: bool) -> None:
            operation = fcntl.LOCK_EX | fcntl.LOCK_NB if locked else fcntl.LOCK_UN
            fcntl.flock(handle, operation)
