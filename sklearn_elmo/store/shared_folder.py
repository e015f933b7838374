"""Opening, listing and removing files in a folder that strangers may write to.

Only plain files in plain folders are read: a link could point at anything, and opening
a named pipe or a device can block forever. The folder of the store itself may be a
link, because the user named it.
"""

import errno
import io
import os
import re
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from sklearn_elmo.plain_files import NotPlainError, open_plain_file, parse_json

_MAX_JSON_BYTES = 2**20


def open_plain(path: Path, max_bytes: int) -> io.FileIO:
    """Open a plain file of at most `max_bytes` for reading, unbuffered.

    Raises
    ------
    NotPlainError
        If it or its folder is a link, or if it is not a file or too large.
    OSError
        If it cannot be opened.
    """
    check_plain_folder(path.parent)
    return open_plain_file(path, follow_links=False, max_bytes=max_bytes)


def read_json(path: Path) -> Any:
    """Read a small JSON file.

    Raises
    ------
    ValueError
        If it is not JSON, or nested too deeply.
    OSError
        As in `open_plain`.
    """
    with open_plain(path, _MAX_JSON_BYTES) as file:
        return parse_json(file.read())


def check_plain_folder(path: Path) -> None:
    """Raise an error unless `path` is a folder and not a link.

    Raises
    ------
    NotPlainError
    OSError
        If it does not exist or cannot be examined.
    """
    if not _is_plain_folder(path.lstat()):
        message = "is a link or not a folder"
        raise NotPlainError(errno.ENOTDIR, message, str(path))


def names_in(
    folder: Path, pattern: re.Pattern[str], *, may_be_link: bool = False
) -> list[str]:
    """List the matching names in a folder, sorted.

    A folder that is missing, a link or not a folder has none.
    """
    try:
        if not may_be_link:
            check_plain_folder(folder)
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if pattern.fullmatch(entry.name)]
    except (FileNotFoundError, NotADirectoryError, NotPlainError):
        return []
    return sorted(names)


def folders_in(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    """List the plain folders in `folder`, which may be a link, whose names match."""
    paths = []
    for name in names_in(folder, pattern, may_be_link=True):
        with suppress(FileNotFoundError, NotPlainError):
            check_plain_folder(folder / name)
            paths.append(folder / name)
    return paths


def remove_file(path: Path) -> int:
    """Remove a file, or a link itself, and return its size in bytes.

    A folder is left alone, and so is everything in a folder that is a link.
    """
    try:
        check_plain_folder(path.parent)
        status = path.lstat()
        if stat.S_ISDIR(status.st_mode):
            return 0
        path.unlink()
    except (FileNotFoundError, NotPlainError):
        return 0
    return status.st_size


def is_gone(error: OSError) -> bool:
    """Return True if a file was removed; if another machine did it, NFS says ESTALE."""
    return error.errno in (errno.ENOENT, errno.ESTALE)


def _is_plain_folder(status: os.stat_result) -> bool:
    tag = getattr(status, "st_reparse_tag", 0)  # of Windows: junctions are links, too
    is_junction = tag and tag == getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", None)
    return stat.S_ISDIR(status.st_mode) and not is_junction
