"""Opening files whose path somebody else may have chosen."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

__all__ = ["open_plain_file"]

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a symbolic link",
}


def open_plain_file(path: Path, *, follow_links: bool = True) -> BinaryIO:
    """Open a regular file for reading; refuse anything that could block or never end.

    Parameters
    ----------
    path : Path
    follow_links : bool, default=True
        If False, a symbolic link is refused, too.

    Returns
    -------
    binary file
        Buffered, with a position that can be changed.

    Raises
    ------
    OSError
        If there is no such file, it cannot be opened, or it is not a regular file.
        ``strerror`` is a phrase for messages.

    Examples
    --------
    >>> from pathlib import Path
    >>> from sklearn_elmo.plain_files import open_plain_file
    >>> open_plain_file(Path("."))
    Traceback (most recent call last):
    OSError: [Errno 22] it is a folder, not a regular file: '.'
    """
    # Looked at before it is opened, because opening a device can have effects; and
    # after, because the path can have got another meaning in between.
    _check_kind(os.stat(path, follow_symlinks=follow_links), path)
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    if not follow_links:
        flags |= getattr(os, "O_NOFOLLOW", 0)
    file = os.fdopen(os.open(path, flags), "rb")
    try:
        _check_kind(os.fstat(file.fileno()), path)
    except OSError:
        file.close()
        raise
    return file


def _check_kind(status: os.stat_result, path: Path) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "a special file")
    message = f"it is {kind}, not a regular file"
    raise OSError(errno.EINVAL, message, str(path))
