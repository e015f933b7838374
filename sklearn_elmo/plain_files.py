"""Reading files that somebody else may have put in place.

Opening a named pipe or a device can block forever, and reading one may never end.
"""

import errno
import io
import json
import os
import stat
from pathlib import Path
from typing import Any

__all__ = ["NotPlainError", "open_plain_file", "parse_json"]

_READ_FLAGS = os.O_RDONLY
for _flag in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
    _READ_FLAGS |= getattr(os, _flag, 0)

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a symbolic link",
}


class NotPlainError(OSError):
    """A path is not a plain file or folder, or a file is larger than expected."""


def open_plain_file(
    path: Path, *, follow_links: bool = True, max_bytes: int | None = None
) -> io.FileIO:
    """Open a plain file for reading, unbuffered.

    Parameters
    ----------
    path : Path
    follow_links : bool, default=True
        If False, a symbolic link is refused.
    max_bytes : int, optional
        Larger files are refused.

    Returns
    -------
    io.FileIO

    Raises
    ------
    NotPlainError
        If it is not a regular file, or too large. ``strerror`` says what it is.
    OSError
        If it does not exist or cannot be opened.

    Examples
    --------
    >>> from pathlib import Path
    >>> from sklearn_elmo.plain_files import open_plain_file
    >>> open_plain_file(Path("."))
    Traceback (most recent call last):
    sklearn_elmo.plain_files.NotPlainError: [Errno 22] is a folder, not a file: '.'
    """
    # Checked before, because a device may act when it is opened; and after, because
    # the file may have been replaced in between.
    _check(os.stat(path, follow_symlinks=follow_links), path, max_bytes)
    no_follow = 0 if follow_links else getattr(os, "O_NOFOLLOW", 0)
    handle = os.open(path, _READ_FLAGS | no_follow)
    try:
        _check(os.fstat(handle), path, max_bytes)
        return io.FileIO(handle)
    except BaseException:
        os.close(handle)
        raise


def parse_json(text: bytes | str) -> Any:
    """Parse JSON that may have been made to exhaust or mislead the parser.

    Raises
    ------
    ValueError
        If it is not JSON in UTF-8, is nested too deeply, or an object has a key twice.

    Examples
    --------
    >>> from sklearn_elmo.plain_files import parse_json
    >>> parse_json(b'{"a": 1, "a": 2}')
    Traceback (most recent call last):
    ValueError: an object has the key 'a' twice
    """
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8")
        return json.loads(decoded, object_pairs_hook=_unique)
    except RecursionError as error:
        message = "nested too deeply"
        raise ValueError(message) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique: dict[str, Any] = {}
    for key, value in pairs:
        if key in unique:
            message = f"an object has the key {key[:40]!r} twice"
            raise ValueError(message)
        unique[key] = value
    return unique


def _check(status: os.stat_result, path: Path, max_bytes: int | None) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "a special file")
        message = f"is {kind}, not a file"
        raise NotPlainError(errno.EINVAL, message, str(path))
    if max_bytes is not None and status.st_size > max_bytes:
        message = f"has {status.st_size} bytes; at most {max_bytes} are expected"
        raise NotPlainError(errno.EFBIG, message, str(path))
